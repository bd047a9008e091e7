"""The Python front door, and that opening it costs nothing."""

import subprocess
import sys

import pytest

import motionkit
from motionkit import media
from motionkit.errors import UserError


def test_load_and_call_on_files_and_on_clips(tmp_path, inputs):
    media.write_image(tmp_path / "ref.png", inputs.reference.frames[0])
    media.write_video(tmp_path / "drive.mp4", inputs.driving.frames, 6)
    method = motionkit.load("warp", gpu="cpu")
    result = method(
        reference=tmp_path / "ref.png", driving=str(tmp_path / "drive.mp4"), frames=4, folder=tmp_path / "r"
    )
    saved = result.save(tmp_path / "out.mp4")
    assert media.read_clip(saved).frames.shape == (4, 24, 32, 3)
    assert method(reference=inputs.reference, driving=inputs.driving, size=32).frames.shape == (6, 24, 32, 3)


def test_mistakes_are_seen_before_the_first_call():
    for arguments, says in ((("wrap",), "did you mean 'warp'"), (("anamodiff", "animatex"), "does not run on anim")):
        with pytest.raises(UserError, match=says):
            motionkit.load(*arguments)
    for name in (3, None, ["warp"]):
        with pytest.raises(UserError, match="given by its name"):
            motionkit.load(name)
    with pytest.raises(UserError, match="unknown keyword 'nothing'"):
        motionkit.load("still", nothing=1)


def test_every_public_name_is_there_and_importing_the_package_loads_nothing_heavy():
    for name in motionkit.__all__:
        assert getattr(motionkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        motionkit.nothing  # noqa: B018
    code = "import sys, motionkit.registry; print(sorted({'torch', 'hydra', 'numpy'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_part_of_a_file_and_of_a_clip_in_memory_is_the_same(tmp_path, inputs):
    import numpy as np

    frames = np.repeat(np.arange(0, 240, 2, dtype=np.uint8), 32 * 32 * 3).reshape(120, 32, 32, 3)
    media.write_video(tmp_path / "d.mp4", frames, 30)
    clip = media.from_frames(frames, 30.0)
    method = motionkit.load("warp", gpu="cpu")
    for options in ({}, {"start": 2, "frames": 5}, {"start": "15f", "end": "2s"}):
        one = method(inputs.reference, clip, size=32, **options)
        two = method(inputs.reference, tmp_path / "d.mp4", size=32, **options)
        assert len(one.frames) == len(two.frames) and one.fps == pytest.approx(two.fps)
        notes = one.manifest["inputs"]["driving"]["notes"]
        assert notes and notes == two.manifest["inputs"]["driving"]["notes"]
    with pytest.raises(UserError, match="start=9"):
        method(inputs.reference, clip, start=9)
    with pytest.raises(UserError, match="fps='a': give a number"):
        method(inputs.reference, clip, fps="a")
    with pytest.raises(UserError, match="reference_start=.*single picture"):
        method(inputs.reference, clip, reference_start=1)
