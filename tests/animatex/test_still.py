"""A driving clip that stands still gives a result that stands still, on the shipped weights."""

import numpy as np
import pytest

from motionkit.media import from_frames
from motionkit.running.execute import execute
from motionkit.sprites import Motion, character, render_clip
from motionkit.transfer import Inputs
from motionkit.weights import places

FRAMES = 4


@pytest.mark.skipif(not (places.PACKAGE / "pocket-animatex" / "unet").is_dir(), reason="the weights are not here")
def test_a_driving_clip_that_stands_still_gives_a_still_result(tmp_path, monkeypatch):
    who, other = character(1, "giraffe", colour="orange"), character(2, "cat", colour="purple")
    standing = render_clip(other, Motion("walk"), 1).frames
    driving = from_frames(np.repeat(standing, FRAMES, axis=0), 8.0, "driving")
    reference = from_frames(render_clip(who, Motion("bow"), 1).frames, is_image=True, name="reference")
    made = execute("animatex", Inputs(reference, driving), gpu="cpu", seed=0, use_cache=False, folder=tmp_path / "run")
    frames = np.asarray(made.frames).astype(float)
    assert len(frames) == FRAMES and frames.std() > 5
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert steps.max() < 1, f"levels between frames: {steps.round(2)}"
