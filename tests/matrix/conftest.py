"""A cache folder of each test's own."""

import pytest
import torch


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def draw():
    """A generator of the test's own."""
    return torch.Generator().manual_seed(0)
