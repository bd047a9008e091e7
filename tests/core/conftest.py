"""Clips, a cache folder of each test's own, and the fake methods."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


def moving_square(frames=6, height=24, width=32):
    """(F, H, W, 3) uint8: a red square that moves over grey."""
    clip = np.full((frames, height, width, 3), 200, np.uint8)
    for index in range(frames):
        clip[index, 8:16, 2 + 3 * index : 10 + 3 * index] = (220, 40, 40)
    return clip


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"


@pytest.fixture
def inputs():
    from motionkit import media
    from motionkit.transfer import Inputs

    frames = moving_square()
    return Inputs(media.from_frames(frames[0], is_image=True, name="ref"), media.from_frames(frames, 6.0, "drive"))


@pytest.fixture
def blend():
    import fake_methods

    fake_methods.Blend.calls.clear()
    return fake_methods
