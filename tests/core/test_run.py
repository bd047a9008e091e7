"""The road: what it leaves, what it repeats, what it takes from the cache, and how it stops."""

import json
from dataclasses import replace

import numpy as np
import pytest

from motionkit import media
from motionkit.context import NullProgress
from motionkit.errors import Cancelled, UserError
from motionkit.running.execute import execute
from motionkit.transfer import Result


def go(blend, inputs, folder, **options):
    return execute(blend.SPEC, inputs, **{"size": 32, "seed": 3, "folder": folder, **options})


def test_a_run_leaves_a_video_a_manifest_and_what_was_shown(blend, inputs, tmp_path):
    result = go(blend, inputs, tmp_path / "run")
    assert result.frames.shape == (6, 24, 32, 3) and result.frames.dtype == np.uint8  # the reference's shape
    assert sorted(p.name for p in (tmp_path / "run").rglob("*")) == [
        "driving.png",
        "manifest.json",
        "result.mp4",
        "shown",
    ]
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert facts == json.loads(json.dumps(result.manifest, default=str))
    assert facts["status"] == "complete" and facts["seed"] == 3 and facts["frames"] == 6
    assert facts["inputs"]["reference"]["sha256"] == inputs.reference.sha256
    assert facts["inputs_used"] == ["reference", "driving"] and facts["config"]["fit"]["steps"] == 4
    assert facts["method"]["citation"] == "@misc{blend}" and facts["plan"]["device"] == "cpu"
    assert list(facts["stages"]) == ["prepare", "fit", "generate", "write"] and facts["from_cache"] == []
    assert facts["peak_memory"]["rss_mb"] > 50 and 0 < facts["notes"]["mean"] < 1
    assert {"python", "torch", "motionkit", "pocket-weights"} <= set(facts["versions"])


def test_a_second_run_repeats_only_what_changed(blend, inputs, tmp_path):
    first = go(blend, inputs, tmp_path / "1")
    again = go(blend, inputs, tmp_path / "2")
    assert blend.Blend.calls == ["prepare", "fit", "generate", "generate"]
    assert again.manifest["from_cache"] == ["prepare", "fit"]
    assert (again.frames == first.frames).all() and again.manifest["notes"] == first.manifest["notes"]
    assert (again.shown["driving"] == first.shown["driving"]).all()
    other = go(blend, replace(inputs, prompt="another"), tmp_path / "3")
    assert other.manifest["from_cache"] == ["prepare", "fit"] and (other.frames != first.frames).any()
    seed = go(blend, inputs, tmp_path / "4", seed=4)
    assert seed.manifest["from_cache"] == ["prepare"] and (seed.frames != first.frames).any()


def test_the_fit_follows_what_prepare_really_made(blend, inputs, tmp_path):
    go(blend, inputs, tmp_path / "1")
    changed = go(blend, inputs, tmp_path / "2", config={"strength": 0.25})
    assert changed.manifest["from_cache"] == []


def test_without_cache_nothing_is_kept_and_the_bits_are_the_same(blend, inputs, tmp_path, own_cache):
    plain = go(blend, inputs, tmp_path / "1", use_cache=False)
    assert not own_cache.exists() and plain.manifest["stages"]["fit"]["key"] is None
    assert (go(blend, inputs, tmp_path / "2").frames == plain.frames).all()


def test_a_cache_that_cannot_be_written_is_said_and_costs_nothing_else(blend, inputs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("motionkit.running.cache.StageCheckpoint.save", lambda self, tensors: None)
    result = go(blend, inputs, tmp_path / "run")
    assert result.manifest["status"] == "complete" and "file" in result.manifest["stages"]["fit"]["not_kept"]


@pytest.mark.parametrize("stage", ["prepare", "generate"])
def test_values_that_are_not_numbers_stop_the_run_with_the_stage_named(blend, inputs, tmp_path, stage, own_cache):
    with pytest.raises(UserError, match=f"'{stage}'.*NaN"):
        go(blend, inputs, tmp_path / "run", config={"nan_in": stage})
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["manifest.json"]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "failed"
    assert not list(own_cache.rglob(f"{stage}-*"))


class CancelAt(NullProgress):
    """Cancels once a stage has got so far."""

    def __init__(self, stage, done):
        self.stage, self.done, self.hit = stage, done, False

    def step(self, stage, done, preview=None):
        self.hit = self.hit or (stage == self.stage and done >= self.done)

    def cancelled(self):
        return self.hit


def test_a_cancelled_run_says_so_and_goes_on_where_it_was(blend, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("BLEND_LOG", str(tmp_path / "log"))
    with pytest.raises(Cancelled):
        go(blend, inputs, tmp_path / "run", progress=CancelAt("tuning", 2))
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert facts["status"] == "cancelled" and "prepare" in facts["stages"] and "output" not in facts
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["manifest.json"]
    resumed = go(blend, inputs, tmp_path / "run")
    assert (tmp_path / "log").read_text().split("\n")[:-1] == ["step 0", "step 1", "step 2", "step 3"]
    assert (resumed.frames == go(blend, inputs, tmp_path / "2", use_cache=False).frames).all()


def test_ctrl_c_is_a_cancellation(blend, inputs, tmp_path, monkeypatch):
    def interrupted(self, inputs, prepared, fitted):
        raise KeyboardInterrupt

    monkeypatch.setattr(blend.Blend, "generate", interrupted)
    with pytest.raises(Cancelled):
        go(blend, inputs, tmp_path / "run", output=tmp_path / "out.mp4")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "cancelled"
    assert not (tmp_path / "out.mp4").exists()


def test_a_note_that_json_cannot_hold_is_refused_at_once(blend, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(blend.Blend, "generate", lambda self, *_: self.run.note("x", object()))
    with pytest.raises(TypeError, match="not JSON serializable"):
        go(blend, inputs, tmp_path / "run")


def test_an_old_result_does_not_outlive_a_run_that_fails(blend, inputs, tmp_path):
    go(blend, inputs, tmp_path / "run")
    with pytest.raises(UserError):
        go(blend, inputs, tmp_path / "run", config={"nan_in": "generate"})
    assert not (tmp_path / "run" / "result.mp4").exists()


def test_a_full_disk_is_one_line_and_leaves_no_half_video(blend, inputs, tmp_path, monkeypatch):
    from motionkit import media

    def full(path, *rest, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media, "write_video", full)
    with pytest.raises(UserError, match="no space left"):
        go(blend, inputs, tmp_path / "run")
    assert not (tmp_path / "run" / "result.mp4").exists()


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "frames", "out.webm", "out.mov", "out.webp", "out.png"])
def test_output_by_suffix(blend, inputs, tmp_path, name):
    go(blend, inputs, tmp_path / "run", output=tmp_path / "new folder" / name)
    written = tmp_path / "new folder" / name
    assert written.exists() and [p.name for p in written.parent.iterdir()] == [name]
    assert written.is_file() or len(list(written.glob("*.png"))) == 6


@pytest.mark.parametrize("labelled", [True, False])
def test_the_label_in_the_file_can_be_left_out(blend, inputs, tmp_path, labelled):
    import av

    go(blend, inputs, tmp_path / "run", output_metadata=labelled)
    with av.open(tmp_path / "run" / "result.mp4") as file:
        comment = file.metadata.get("comment", "")
    if not labelled:
        assert comment == ""
        return
    label = json.loads(comment)
    assert label["method"] == "blend" and label["seed"] == 3 and label["label"] == "AI-generated"
    assert str(tmp_path) not in comment


def test_a_cached_stage_loads_no_backbone(blend, inputs, tmp_path, monkeypatch):
    spec, made = blend.ON_TINY, []
    import motionkit.backbones as room

    load = room.load
    monkeypatch.setattr(room, "load", lambda *a, **k: made.append(1) or load(*a, **k))
    first = execute(spec, inputs, folder=tmp_path / "1")
    assert first.manifest["backbone"]["name"] == "tiny-sd" and len(first.manifest["backbone"]["fingerprint"]) == 64
    assert first.manifest["size"] == {"height": 64, "width": 64} and first.frames.shape == (6, 48, 64, 3)
    again = execute(spec, inputs, folder=tmp_path / "2")
    assert made == [1] and (again.frames == first.frames).all()


@pytest.mark.parametrize("leaps", [True, False])
def test_a_wide_picture_is_not_cut_where_the_motion_leaves_it(blend, inputs, tmp_path, monkeypatch, leaps):
    """Of a strip, the whole canvas comes back when something moves above or below it, and a line says so."""
    strip = media.from_frames(inputs.reference.frames[:, :7], is_image=True)
    generate = blend.BlendOnBackbone.generate

    def leap(self, *given):
        video = 0 * generate(self, *given) + 0.8  # a plain stage
        video[2:, :, 26:38, 10:30] = 0  # a body within the strip
        video[2:, :, 38:60, 10:30] = 0 if leaps else 0.8  # legs below it
        return video

    monkeypatch.setattr(blend.BlendOnBackbone, "generate", leap)
    made = execute(blend.ON_TINY, replace(inputs, reference=strip), folder=tmp_path / "run", use_cache=False)
    assert made.frames.shape[1:3] == ((64, 64) if leaps else (14, 64))
    assert any("too narrow for this motion" in line for line in made.manifest["remarks"]) == leaps


def test_what_is_not_read_of_a_prompt_is_in_the_manifest(blend, inputs, tmp_path):
    for words, cut in (("a red horse " * 12, True), ("a red horse", False)):
        made = execute(blend.ON_TINY, replace(inputs, prompt=words), folder=tmp_path / str(cut), use_cache=False)
        assert ("its end is cut" in made.manifest["notes"].get("cut_prompts", {}).get("prompt", "")) == cut


def test_a_result_of_the_wrong_shape_is_a_defect_of_the_method(blend, inputs, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(blend.Blend, "generate", lambda self, *_: torch.zeros(2, 3, 8, 8))
    with pytest.raises(TypeError, match=r"blend.generate .*\(2, 3, 8, 8\)"):
        go(blend, inputs, tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"frames": 0}, "frames=0"),
        ({"frames": 10**6}, "frames=1000000"),
        ({"fps": 0.0}, "fps=0"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"fps": 1e-9}, "fps=1e-09 is outside 0.01 to 240"),
        ({"fps": "a"}, "fps='a': give a number"),
        ({"seed": "a"}, "seed='a': give a whole number"),
        ({"seed": 1.5}, "seed=1.5: give a whole number"),
        ({"frames": 2.5}, "frames=2.5: give a whole number"),
        ({"size": (64,)}, r"size=\(64,\): give \(height, width\)"),
        ({"size": "abc"}, "size=abc: give a side"),
        ({"size": 33}, "size=33: .* multiples of 8, such as 32 or 40"),
        ({"size": 9999 * 8}, "between 8 and 4096"),
        ({"gpu": "big"}, "unknown gpu setting 'big'.*<N>gb"),
        ({"gpu": {"dtpe": "x"}}, "unknown key 'gpu.dtpe'"),
        ({"config": {"strenght": 1}}, r"unknown key 'method.strenght' \(did you mean 'method.strength'"),
        ({"config": {"strength": "abc"}}, "method.strength=abc: give a number"),
        ({"output": "out.avi"}, "output ends in .mp4"),
        ({"loop": "round"}, "unknown loop 'round'"),
        ({"alpha": True, "output": "out.mp4"}, "mp4 has no transparency"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(blend, inputs, tmp_path, options, says):
    with pytest.raises(UserError, match=says):
        go(blend, inputs, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists() and blend.Blend.calls == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reference": np.zeros((8, 8, 3), np.uint8)}, "reference is a ndarray: give a path, or a clip"),
        ({"driving": 3}, "driving is a int"),
        ({"prompt": 3}, "prompt=3: give text"),
    ],
)
def test_what_is_no_input_is_named(blend, inputs, tmp_path, change, says):
    with pytest.raises(UserError, match=says):
        go(blend, replace(inputs, **change), tmp_path / "run")


def test_a_text_of_blanks_is_none(inputs):
    assert "prompt" not in replace(inputs, prompt=" \n").present()
    assert "prompt" in replace(inputs, prompt="a").present()


def test_a_run_whose_output_cannot_be_written_leaves_no_video(blend, inputs, tmp_path, monkeypatch):
    save = Result.save

    def saved(self, path, *more):
        if path.suffix == ".gif":
            raise UserError("no room")
        return save(self, path, *more)

    monkeypatch.setattr(Result, "save", saved)
    with pytest.raises(UserError, match="no room"):
        go(blend, inputs, tmp_path / "run", output=tmp_path / "x.gif")
    facts = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert facts["status"] == "failed" and not (tmp_path / "run" / "result.mp4").exists()


def test_missing_inputs_and_still_driving_pictures_are_refused(blend, inputs, tmp_path):
    with pytest.raises(UserError, match="blend needs driving"):
        go(blend, replace(inputs, driving=None), tmp_path)
    with pytest.raises(UserError, match="single picture"):
        go(blend, replace(inputs, driving=inputs.reference), tmp_path)
    with pytest.raises(UserError, match="poses: no such file"):
        go(blend, replace(inputs, poses="absent.npz"), tmp_path)


def test_frames_size_and_rate(blend, inputs, tmp_path):
    result = go(blend, inputs, tmp_path / "1", frames=4, size="48x32")
    assert result.manifest["size"] == {"height": 32, "width": 48} and result.frames.shape == (4, 32, 43, 3)
    assert result.fps == pytest.approx(6.0)  # the first four, as they follow each other
    faster = go(blend, inputs, tmp_path / "2", fps=12)
    assert len(faster.frames) == 12 and faster.fps == 12


def test_a_word_that_the_backbone_was_never_taught_is_told(blend, inputs, tmp_path, caplog):
    spec = replace(blend.SPEC, backbones=("pocket-sd",), default_backbone="pocket-sd")
    asked = replace(inputs, prompt="an orange zebra running", negative_prompt="unicorns are not checked here")
    result = execute(spec, asked, size=32, seed=3, folder=tmp_path / "run")
    assert result.manifest["notes"]["unknown_words"] == ["zebra"]
    said = [record.getMessage() for record in caplog.records if "zebra" in record.getMessage()]
    assert len(said) == 1 and "motionkit backbones pocket-sd" in said[0]
    caplog.clear()
    result = execute(spec, replace(asked, prompt="an orange fox"), size=32, seed=3, folder=tmp_path / "known")
    assert "unknown_words" not in result.manifest["notes"] and not caplog.records


def with_sound(clip, seconds=1.0):
    from motionkit.media import Sound

    return replace(clip, sound=Sound(np.full((round(8000 * seconds), 1), 0.25, np.float32), 8000))


def test_the_sound_of_the_driving_clip_is_kept_while_it_fits(blend, inputs, tmp_path):
    import av

    def heard(result):
        with av.open(str(result.folder / "result.mp4")) as file:
            return len(file.streams.audio)

    loud = replace(inputs, driving=with_sound(inputs.driving))
    result = go(blend, loud, tmp_path / "1")
    assert heard(result) == 1 and result.sound.duration == 1 and result.manifest["output"]["sound"]
    part = go(blend, loud, tmp_path / "2", frames=3)
    assert part.sound.duration == pytest.approx(0.5)
    slow = go(blend, loud, tmp_path / "3", frames=6, fps=3)
    assert heard(slow) == 0 and "another speed" in slow.manifest["remarks"][-1]
    said = []
    back = go(blend, loud, tmp_path / "4", loop="pingpong", output=tmp_path / "back.gif", say=said.append)
    assert heard(back) == 0 and "pingpong" in said[-1]
    from motionkit.media import read_clip

    assert len(read_clip(tmp_path / "back.gif")) == 10 and len(back.frames) == 6


def test_a_transparent_reference_gives_a_transparent_result(blend, inputs, tmp_path):
    from motionkit.media import read_clip

    clear = replace(inputs, reference=replace(inputs.reference, transparent=True))
    result = go(blend, clear, tmp_path / "1", output=tmp_path / "a.webm")
    assert result.alpha.shape == result.frames.shape[:3] and 0 < result.alpha.mean() < 255
    assert read_clip(tmp_path / "a.webm").transparent
    assert (
        go(blend, clear, tmp_path / "2", alpha=False).alpha is None and go(blend, inputs, tmp_path / "3").alpha is None
    )
    asked = go(blend, inputs, tmp_path / "4", alpha=True, output=tmp_path / "frames")
    assert (asked.alpha == result.alpha).all() and read_clip(tmp_path / "frames").transparent


def test_who_cannot_tell_the_subject_says_what_is_needed(blend, inputs, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, inputs.reference.frames.shape, np.uint8)
    busy = replace(inputs, reference=replace(inputs.reference, frames=noise))
    with pytest.raises(UserError, match="alpha=true: blend"):
        go(blend, busy, tmp_path / "1", alpha=True)
    assert blend.Blend.calls == []
    generate = blend.Blend.generate

    def matting(self, *rest):
        self.run.matte = np.full((self.run.frames, self.run.height, self.run.width), 77, np.uint8)
        return generate(self, *rest)

    monkeypatch.setattr(blend.Blend, "generate", matting)
    own = execute(replace(blend.SPEC, mattes=True), busy, size=32, folder=tmp_path / "2", alpha=True)
    assert (own.alpha == 77).all() and own.alpha.shape == own.frames.shape[:3]


def test_a_wide_reference_comes_back_whole_where_the_motion_needs_room(blend, inputs, tmp_path, monkeypatch):
    from motionkit import media

    wide = replace(
        inputs, reference=media.from_frames(np.full((24, 103, 3), 200, np.uint8), is_image=True, name="wide")
    )
    still = go(blend, wide, tmp_path / "1", config={"strength": 1.0})
    assert still.frames.shape == (6, 7, 32, 3) and not still.manifest["remarks"]
    generate = blend.Blend.generate

    def tall(self, *rest):
        video = generate(self, *rest)
        video[:, :, 4:28, 12:20] = 0  # a body that reaches beyond the strip
        return video

    monkeypatch.setattr(blend.Blend, "generate", tall)
    whole = go(blend, wide, tmp_path / "2", config={"strength": 1.0})
    assert whole.frames.shape == (6, 32, 32, 3) and (whole.frames[:, 4:28, 12:20] == 0).all()
    assert "whole 32x32" in whole.manifest["remarks"][-1]
    assert go(blend, wide, tmp_path / "3", config={"strength": 1.0}, common=True).frames.shape == (6, 7, 32, 3)


def test_a_methods_own_stride_through_a_fast_clip(blend, inputs, tmp_path):
    from motionkit import media, registry

    fast = replace(inputs, driving=media.from_frames(np.repeat(inputs.driving.frames, 10, 0), 30.0, "fast"))
    for stride, fps in ((None, 8), (4, 7.5), (2, 15)):
        result = execute(replace(blend.SPEC, stride=stride), fast, size=32, folder=tmp_path / str(stride))
        assert result.fps == pytest.approx(fps) and len(result.frames) == 10
        assert f"at {fps:g} fps" in result.manifest["remarks"][0]
    assert (registry.spec("vidmp3").stride, registry.spec("animatex").stride) == (4, 2)
