"""Small clips, a stage cache and a run folder of each test's own, and the fake methods."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    import compare_fakes

    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    compare_fakes.CALLS.clear()
    compare_fakes.INTERRUPT.clear()


def square(frames=6, height=32, width=40):
    """(F, H, W, 3): a red square that moves over light grey."""
    clip = np.full((frames, height, width, 3), 220, np.uint8)
    for index in range(frames):
        clip[index, 10:22, 2 + 3 * index : 14 + 3 * index] = (200, 40, 40)
    return clip


@pytest.fixture
def clips():
    """Reference picture, driving clip and the truth of `shift` with its default settings."""
    from motionkit import media

    frames = square()
    truth = np.stack([np.roll(frames[0], 3 * index, axis=1) for index in range(6)])
    return {
        "reference": media.from_frames(frames[0], is_image=True, name="ref"),
        "driving": media.from_frames(frames, 6.0, "drive"),
        "truth": media.from_frames(truth, 6.0, "truth"),
    }


@pytest.fixture
def inputs(clips):
    from motionkit.transfer import Inputs

    return Inputs(clips["reference"], clips["driving"], prompt="a red square")


@pytest.fixture
def files(clips, tmp_path):
    """The same as files in the working folder."""
    from motionkit import media

    media.write_image(tmp_path / "ref.png", clips["reference"].frames[0])
    media.write_video(tmp_path / "drive.mp4", clips["driving"].frames, 6)
    media.write_video(tmp_path / "truth.mp4", clips["truth"].frames, 6)
    return tmp_path
