"""A folder with the shipped example in it, as the pages' commands expect."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]  # docs/ is no installed package


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path, cache, monkeypatch):
    """The working folder: example/ as `motionkit sprites output=example` writes it, and a cache of the module's own."""
    from motionkit.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(cache))
    assert main(["sprites", "output=example"]) == 0
    return tmp_path
