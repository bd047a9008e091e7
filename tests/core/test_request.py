"""A request: checked once, with nothing written or loaded before; the plan that comes of it runs."""

import tempfile
from dataclasses import fields, replace

import numpy as np
import pytest

import motionkit
from motionkit import media
from motionkit.backbones.lora_files import LoraOptions
from motionkit.backbones.motion_files import MotionOptions
from motionkit.errors import UserError
from motionkit.running.choices import BackboneChoice, choose
from motionkit.running.execute import request_of
from motionkit.running.request import Request, check, execute
from motionkit.transfer import Inputs


@pytest.fixture
def nothing_made(monkeypatch):
    """Neither weights are loaded nor a temporary folder is made."""
    monkeypatch.setattr("motionkit.backbones.load", lambda *a, **k: pytest.fail("weights were loaded"))
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **k: pytest.fail("a folder was made"))


@pytest.fixture
def files(inputs, tmp_path):
    """The same inputs as paths: a picture, and a clip kept without loss."""
    media.write_image(tmp_path / "ref.png", inputs.reference.frames[0])
    media.write_frames(tmp_path / "drive", inputs.driving.frames)
    return Inputs(**{"reference": str(tmp_path / "ref.png"), "driving": tmp_path / "drive", "prompt": "a"})


def test_the_plan_holds_all_that_the_run_needs_and_nothing_is_made_yet(blend, inputs, tmp_path, nothing_made):
    plan = check(Request(blend.ON_TINY, inputs, {"strength": 0.25}, frames=3, seed=2, folder=tmp_path / "run"))
    assert plan.spec is blend.ON_TINY and plan.settings.strength == 0.25 and plan.memory.device == "cpu"
    assert plan.backbone.spec.name == "tiny-sd" and not plan.backbone.loaded and plan.transfer.config is plan.settings
    assert (plan.on_canvas.frames, plan.on_canvas.height, plan.context.seed) == (3, 64, 2) and plan.inputs == inputs
    assert not (tmp_path / "run").exists() and blend.Blend.calls == []


def test_paths_give_the_same_video_as_the_clips_in_them(blend, files, tmp_path):
    clips = Inputs(media.read_clip(files.reference), media.read_clip(files.driving), "a")
    runs = [execute(Request(blend.SPEC, given, size=32, use_cache=False)) for given in (files, clips)]
    assert np.array_equal(runs[0].frames, runs[1].frames) and runs[0].manifest["inputs"] == runs[1].manifest["inputs"]


def test_each_check_is_made_once(blend, inputs, tmp_path, monkeypatch):
    """In a run, and in a cell of a comparison."""
    from motionkit.table.compare import compare

    asked = []
    monkeypatch.setattr(blend.Blend, "check", lambda self, inputs: asked.append(inputs.present()))
    execute(Request(blend.SPEC, inputs, size=32))
    assert asked == [("reference", "driving")]
    done = compare([blend.SPEC], inputs, folder=tmp_path / "out", size=32)
    assert not done.failed and len(asked) == 2


def test_what_is_cheap_is_refused_before_a_file_is_read(blend, files, tmp_path, monkeypatch, nothing_made):
    monkeypatch.setattr(media, "read_clip", lambda *a, **k: pytest.fail("a file was read"))
    good = Request(blend.ON_TINY, files)
    for change, says in (
        ({"method": "wrap"}, "did you mean 'warp'"),
        ({"config": {"strenght": 1}}, "did you mean 'method.strength'"),
        ({"backbone": BackboneChoice("sdxl")}, "does not run on sdxl"),
        ({"seed": -1}, "seed=-1"),
        ({"output": "out.avi"}, "output ends in .mp4"),
        ({"output": files.driving}, "is also an input"),
        ({"output": " "}, "output= is empty"),
        ({"inputs": replace(files, reference="")}, "reference= is empty"),
        ({"inputs": replace(files, masks=" ")}, "masks= is empty"),
        ({"inputs": replace(files, driving=None)}, "needs driving"),
    ):
        with pytest.raises(UserError, match=says):
            check(replace(good, **change))


def test_a_refused_request_leaves_no_folder(blend, inputs, monkeypatch, nothing_made):
    def refuse(self, inputs):
        raise UserError("too green")

    monkeypatch.setattr(blend.Blend, "check", refuse)
    with pytest.raises(UserError, match="too green"):
        execute(Request(blend.SPEC, inputs))


def test_remarks_on_a_clip_are_said_as_it_is_read(blend, files, monkeypatch):
    read = media.read_clip
    monkeypatch.setattr(media, "read_clip", lambda path, **how: replace(read(path, **how), notes=("cut off",)))
    said = []
    check(Request(blend.SPEC, files), say=said.append)
    assert said[:2] == ["reference: cut off", "driving: cut off"]


def test_choosing_again_changes_nothing(blend):
    once = choose(Request(blend.ON_TINY, config={"strength": 0.25}, backbone=BackboneChoice("tiny")))
    assert once.backbone.name == "tiny-sd" and choose(Request(once.spec, config=once.settings)) == once


def test_the_keywords_of_0_1_are_fields_of_the_request(blend, inputs):
    keywords = {
        "config": {"strength": 0.25},
        "backbone": "tiny-sd",
        "backbone_path": "/a",
        "online": True,
        "motion": MotionOptions(schedule="base"),
        "lora": LoraOptions("a.pt"),
        "gpu": "8gb",
        "sampler": "ddim",
        "seed": 3,
        "frames": 4,
        "size": 64,
        "fps": 5.0,
        "start": 1,
        "end": "2s",
        "reference_start": 1,
        "reference_end": "2s",
        "audio": False,
        "alpha": True,
        "loop": "pingpong",
        "folder": "run",
        "output": "out.mp4",
        "output_metadata": False,
        "use_cache": False,
        "common": True,
    }
    made, plain = request_of(blend.SPEC, inputs, **keywords), Request(blend.SPEC)
    assert made.backbone == BackboneChoice("tiny-sd", "/a", True, MotionOptions(schedule="base"), LoraOptions("a.pt"))
    for field in fields(Request)[1:]:
        assert getattr(made, field.name) != getattr(plain, field.name), f"{field.name} was not given"
    with pytest.raises(TypeError, match="sead"):
        motionkit.execute(blend.SPEC, inputs, sead=1)


def test_a_sampler_that_a_method_cannot_use_is_refused_with_the_reason(inputs, nothing_made):
    told = replace(inputs, prompt="a fox")
    asked = Request("anamodiff", told, {"weights": "random"}, BackboneChoice("tiny-sd"), size=32)
    with pytest.raises(UserError, match="flow-euler.* predict flow_prediction; tiny-sd"):
        check(replace(asked, sampler="flow-euler"))
    with pytest.raises(UserError, match="sampler.*dimm.*ddim"):
        check(replace(asked, sampler="dimm"))
    assert {check(replace(asked, sampler=name)).context.sampler for name in ("auto", "ddim")} == {"ddim"}


def test_settings_decide_whether_a_method_is_free_in_its_sampler(inputs, nothing_made):
    """AnaMoDiff inverts the source, or noises its warped frames: then any sampler brings them down."""
    told, given = replace(inputs, prompt="a fox"), {"weights": "random", "sample": {"start": "noised_warp"}}
    asked = Request("anamodiff", told, given, BackboneChoice("tiny-sd"), size=32, sampler="lcm")
    assert check(asked).context.sampler == "lcm"
    with pytest.raises(UserError, match=r"anamodiff needs sampler=ddim.*not lcm: .*method\.sample\.start=noised_warp"):
        check(replace(asked, config=given | {"sample": {"start": "inverted"}}))


def test_another_sampler_than_the_backbones_own_has_stages_of_its_own(blend, inputs, tmp_path, monkeypatch):
    first = execute(Request(blend.ON_TINY, inputs, folder=tmp_path / "1", size=32))
    monkeypatch.setattr("motionkit.running.request.choose_sampler", lambda *given: "another")
    other = execute(Request(blend.ON_TINY, inputs, folder=tmp_path / "2", size=32))
    assert (first.manifest["sampler"], other.manifest["sampler"]) == ("ddim", "another")
    assert other.manifest["stages"]["prepare"]["key"] != first.manifest["stages"]["prepare"]["key"]
