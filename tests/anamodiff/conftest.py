"""A cache folder of each test's own, tiny backbones, and clips."""

import pytest
import torch


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"


@pytest.fixture(scope="session")
def tiny():
    from motionkit.backbones import load
    from motionkit.settings.gpu import Plan

    return load("tiny-sd", Plan())


@pytest.fixture
def draw():
    """A generator of the test's own."""
    return torch.Generator().manual_seed(0)
