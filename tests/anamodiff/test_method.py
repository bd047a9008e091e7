"""The whole method on the tiny backbone: it runs, repeats, resumes, and refuses in one line."""

import dataclasses

import numpy as np
import pytest

from motionkit.context import NullProgress
from motionkit.errors import Cancelled, MissingWeights, UserError
from motionkit.media import from_frames
from motionkit.running.choices import BackboneChoice
from motionkit.running.execute import execute
from motionkit.running.request import Request, check
from motionkit.testing.clips import moving_shapes, picture, sample_inputs

QUICK = {"lora": {"steps": 3, "rank": 2, "clip_frames": 3}, "sample": {"steps": 3}}


def go(folder, inputs=None, use_cache=False, seed=0, progress=None, **config):
    settings = {name: dict(value) for name, value in QUICK.items()}
    for key, value in config.items():
        settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    return execute(
        "anamodiff",
        inputs or sample_inputs(),
        config=settings,
        backbone="tiny-sd",
        seed=seed,
        folder=folder,
        use_cache=use_cache,
        progress=progress,
    )


def video_inputs(frames=5):
    return dataclasses.replace(sample_inputs(), reference=moving_shapes(frames, move="down"))


@pytest.mark.parametrize("preset", ["best", "paper"])
@pytest.mark.parametrize("source", ["picture", "video"])
def test_from_files_to_frames(preset, source, tmp_path):
    inputs = sample_inputs() if source == "picture" else video_inputs()
    result = go(tmp_path, inputs, preset=preset)
    assert result.frames.shape == (4, 64, 64, 3) and result.frames.std() > 1
    assert set(result.shown) == {"keypoints-source", "keypoints-driving", "keypoints-adapted", "flow", "warped"}
    assert all(frames.dtype == np.uint8 and frames.ndim == 4 for frames in result.shown.values())
    expected = {"paper": "first", "best": "auto" if source == "picture" else "mean"}[preset]
    assert result.manifest["notes"]["adaptation"] == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"warp": {"space": "latent", "background": "still"}},
        {"warp": {"noise": "nearest", "diversity": 0.5}, "sample": {"start": "inverted"}},
        {"source_frame": "nearest", "sample": {"start": "inverted"}, "adapt": {"reference": "mean"}},
        {"source_frame": "auto", "adapt": {"mirror": True, "reference": "auto", "smooth": 3}},
        {"video": {"anchor": "reference", "joint_groupnorm": False}, "adapt": {"reference": "2"}, "source_frame": "0"},
        {"adapt": {"mode": "absolute", "jacobians": False}, "video": {"anchor": "first"}},
        {"lora": {"steps": 0}, "match": {"kind": "reinhard"}},
        {"lora": {"schedule": "sequential", "targets": "attn1"}, "sample": {"guidance": 1.0, "inversion_prompt": ""}},
        {"video": {"temporal_init": "random"}, "match": {"kind": "none"}, "sample": {"guidance": 4.0, "rescale": 0.7}},
    ],
    ids=lambda s: "-".join(f"{k}" for k in s),
)
def test_every_option_runs(settings, tmp_path):
    result = go(tmp_path, video_inputs(), **settings)
    assert result.frames.shape == (4, 64, 64, 3)


def test_the_seed_decides_everything(tmp_path):
    first, again, other = (go(tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1)))
    assert np.array_equal(first.frames, again.frames)
    assert not np.array_equal(first.frames, other.frames)


def test_a_second_prompt_prepares_nothing_again_and_a_second_guidance_fits_nothing_again(tmp_path):
    first = go(tmp_path / "a", use_cache=True)
    prompt = go(tmp_path / "b", dataclasses.replace(sample_inputs(), prompt="a red toy"), use_cache=True)
    guidance = go(tmp_path / "c", use_cache=True, sample={"guidance": 3.0})
    assert first.manifest["from_cache"] == []
    assert prompt.manifest["from_cache"] == ["prepare"]
    assert guidance.manifest["from_cache"] == ["prepare", "fit"]
    assert set(guidance.shown) == set(first.shown)


def test_a_killed_fit_goes_on_and_ends_the_same(tmp_path):
    class Killed(NullProgress):
        fits = 0

        def step(self, stage, done, preview=None):
            self.fits = done if stage == "fit" else self.fits

        def cancelled(self):
            return self.fits >= 3

    lora = {"steps": 5, "save_every": 2}
    whole = go(tmp_path / "whole", lora=lora)
    with pytest.raises(Cancelled):
        go(tmp_path / "killed", use_cache=True, lora=lora, progress=Killed())
    steps = []

    class Watch(NullProgress):
        def step(self, stage, done, preview=None):
            if stage == "fit":
                steps.append(done)

    resumed = go(tmp_path / "resumed", use_cache=True, lora=lora, progress=Watch())
    assert steps[0] == 4 and np.array_equal(resumed.frames, whole.frames)


def test_equal_clips_need_no_motion(tmp_path):
    """A clip driven by itself, relative to frame 0: that frame's flow is the identity, so Z_WI begins as the source."""
    clip = moving_shapes(4)
    inputs = dataclasses.replace(sample_inputs(), reference=clip, driving=clip)
    warp = {"space": "latent", "background": "flow"}
    from motionkit.methods.anamodiff.method import AnaMoDiff

    kept = {}
    original = AnaMoDiff.prepare

    def prepare(self, given):
        kept.update(original(self, given))
        return kept

    AnaMoDiff.prepare = prepare
    try:
        go(tmp_path, inputs, source_frame="0", adapt={"reference": "first"}, warp=warp)
    finally:
        AnaMoDiff.prepare = original
    assert (kept["warped"][0] - kept["source"][0]).abs().max() < 1e-4
    assert int(kept["reference"]) == 0


def test_a_plain_background_stays_and_a_busy_one_is_said_to_move(tmp_path):
    assert go(tmp_path / "a").manifest["notes"]["background"].startswith("plain")
    noise = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)
    busy = dataclasses.replace(sample_inputs(), reference=from_frames(noise, is_image=True))
    assert go(tmp_path / "b", busy).manifest["notes"]["background"].startswith("not plain")


class TestKeypointsFromAFile:
    def write(self, path, source=1, driving=4, count=5):
        rng = np.random.default_rng(0)
        arrays = {
            "reference": rng.uniform(-0.5, 0.5, (source, count, 2)),
            "driving": rng.uniform(-0.5, 0.5, (driving, count, 2)),
        }
        np.savez(path, **arrays)
        return dataclasses.replace(sample_inputs(), keypoints=str(path))

    def test_they_replace_the_detector(self, tmp_path):
        with_points = go(tmp_path / "a", self.write(tmp_path / "points.npz"))
        assert not np.array_equal(with_points.shown["flow"], go(tmp_path / "b").shown["flow"])
        assert "keypoints" in with_points.manifest["inputs_used"]

    @pytest.mark.parametrize(
        ("values", "line"), [({"driving": 3}, "driving in .*3, 5, 2.*4, K, 2"), ({"count": 6}, "holds 6 points.* 5")]
    )
    def test_a_wrong_number_is_named(self, values, line, tmp_path):
        with pytest.raises(UserError, match=line):
            go(tmp_path / "run", self.write(tmp_path / "points.npz", **values))

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"hello"])
    def test_a_broken_file_is_one_line(self, content, tmp_path):
        path = tmp_path / "points.npz"
        path.write_bytes(content)
        with pytest.raises(UserError, match="not an .npz") as caught:
            go(tmp_path / "run", dataclasses.replace(sample_inputs(), keypoints=str(path)))
        assert "\n" not in str(caught.value)

    def test_pickled_arrays_are_refused(self, tmp_path):
        path = tmp_path / "points.npz"
        np.savez(path, reference=np.array([{"a": 1}], dtype=object), driving=np.zeros((4, 5, 2)))
        with pytest.raises(UserError, match="not an .npz"):
            go(tmp_path / "run", dataclasses.replace(sample_inputs(), keypoints=str(path)))


def test_what_cannot_work_is_refused_before_weights_load(tmp_path):
    with pytest.raises(UserError, match="source_frame=3.* 1 frames"):
        go(tmp_path / "a", source_frame="3")
    with pytest.raises(UserError, match="adapt.reference=9.* 4"):
        go(tmp_path / "b", adapt={"reference": "9"})
    with pytest.raises(MissingWeights, match="no such weights"):
        go(tmp_path / "c", weights=str(tmp_path))
    with pytest.raises(MissingWeights, match="weights ship for sd14"):
        execute("anamodiff", sample_inputs(), backbone="sd14", folder=tmp_path / "d", use_cache=False)
    with pytest.raises(UserError, match="anamodiff needs prompt"):
        go(tmp_path / "e", dataclasses.replace(sample_inputs(), prompt=""))


def test_another_aspect_comes_back_in_its_own(tmp_path):
    inputs = dataclasses.replace(sample_inputs(), reference=picture(48, 80))
    frames = go(tmp_path, inputs).frames
    assert frames.shape[0] == 4 and abs(frames.shape[2] / frames.shape[1] - 80 / 48) < 0.1


def test_a_negative_prompt_that_nothing_reads_is_said(tmp_path):
    inputs = dataclasses.replace(sample_inputs(), negative_prompt="blurry")
    for scale, said in ((1.0, True), (2.0, False)):
        told = []
        check(
            Request("anamodiff", inputs, QUICK | {"sample": {"guidance": scale}}, BackboneChoice("tiny-sd")),
            say=told.append,
        )
        assert any("negative_prompt" in line and "guidance" in line for line in told) == said
