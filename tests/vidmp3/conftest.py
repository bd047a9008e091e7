"""The tiny models beside the tests, and seeded draws."""

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
