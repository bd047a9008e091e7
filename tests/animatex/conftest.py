"""A cache of each test's own, and sprite clips small enough for tests."""

import sys
from pathlib import Path

import pytest

from motionkit.media import from_frames
from motionkit.sprites import Motion, character, render_clip
from motionkit.transfer import Inputs

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"


@pytest.fixture(scope="session")
def horse():
    """A horse that walks: 4 frames of 64 x 64, with its truth."""
    return render_clip(character(1, "horse"), Motion("walk"), 4, 64)


@pytest.fixture(scope="session")
def request_(horse):
    """A giraffe as reference, the horse as driving."""
    giraffe = render_clip(character(2, "giraffe"), Motion("walk", phase=0.5), 1, 64)
    return Inputs(reference=from_frames(giraffe.frames, 8.0, "giraffe", True), driving=from_frames(horse.frames))
