"""The tiny models beside the tests, seeded draws, and a cache of each test's own."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def draw():
    """A generator of the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=["sd15", "sdxl"])
def kind(request):
    return request.param


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"
