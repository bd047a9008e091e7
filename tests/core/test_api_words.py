"""Python calls in the words of diffusers: settings, memory, seed, size, callbacks, and what is refused."""

import copy
import json
import re
import types
import warnings

import pytest

import motionkit
from motionkit.errors import Cancelled, UserError
from motionkit.running import keywords
from motionkit.running.step_callback import StepCallback
from motionkit.settings import synonyms


def test_a_setting_of_the_method_goes_before_the_old_keyword_of_the_same_name():
    assert motionkit.load("flipsketch", motion=0.3).settings.motion == 0.3
    with pytest.raises(UserError, match="method.motion"):
        motionkit.load("flipsketch", motion="fast")


def test_motion_modules_have_a_keyword_of_their_own_and_the_old_one_warns():
    from motionkit.backbones.motion_files import MotionOptions

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = motionkit.load("vidmp3", motion_adapter="/modules")
    assert new.request.backbone.motion == MotionOptions("/modules")
    with pytest.warns(FutureWarning, match="motion_adapter="):
        old = motionkit.load("flipsketch", motion=MotionOptions("/modules"))
    assert old.request.backbone.motion == MotionOptions("/modules")
    assert old.settings.motion == motionkit.load("flipsketch", motion=None).settings.motion == 0.5
    assert motionkit.load("anamodiff", motion=None).request.backbone.motion is None


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("anamodiff", lambda s: s.sample.steps),
        ("flipsketch", lambda s: s.sample.steps),
        ("animatex", lambda s: s.sample.steps),
        ("vidmp3", lambda s: s.steps),
    ],
)
def test_steps_and_guidance_are_those_of_the_sampler(name, steps):
    settings = motionkit.load(name, num_inference_steps=7, guidance_scale=3.5).settings
    assert steps(settings) == 7 and settings.sample.guidance == 3.5
    if name == "anamodiff":
        assert settings.lora.steps != 7


def test_settings_of_one_call_are_gone_in_the_next(inputs):
    method = motionkit.load("flipsketch", sample={"guidance": 2.0})
    asked, _ = method._asked({"num_inference_steps": 3, "motion": 0.1}, False)
    assert (asked.config.sample.steps, asked.config.sample.guidance, asked.config.motion) == (3, 2.0, 0.1)
    later, _ = method._asked({}, False)
    assert later.config == method.settings


def test_memory_is_asked_for_by_diffusers_words():
    import torch

    method = motionkit.load("warp", torch_dtype=torch.float16, device="cuda")
    assert method.request.gpu == {"name": "auto", "device": "cuda", "dtype": "float16"}
    assert motionkit.load("warp", gpu="cpu", dtype="bf16").request.gpu == {"name": "cpu", "dtype": "bfloat16"}
    assert motionkit.load("warp", device=torch.device("cuda:1")).request.gpu["device"] == "cuda:1"
    assert motionkit.load("warp", device=1).request.gpu["device"] == "cuda:1"
    with pytest.raises(UserError, match="gpu is a Plan"):
        from motionkit.settings.gpu import Plan

        motionkit.load("warp", gpu=Plan(), device="cuda")


def test_to_moves_the_method_and_drops_a_tier_that_is_at_odds():
    import torch

    method = motionkit.load("warp", gpu="cpu")
    assert method.to("cuda", torch.float16) is method
    assert method.request.gpu == {"name": "auto", "device": "cuda", "dtype": "float16"}
    assert motionkit.load("warp", gpu="8gb").to("cuda:1").request.gpu == {"name": "8gb", "device": "cuda:1"}
    assert motionkit.load("warp", gpu="8gb").to(device="cpu").request.gpu["name"] == "auto"
    assert motionkit.load("warp", gpu="8gb").to(dtype=torch.float32).request.gpu["name"] == "8gb"
    with pytest.raises(UserError, match=r"\.to\("):
        method.to()


def test_to_takes_effect(inputs):
    result = motionkit.load("warp", gpu={"name": "cpu"}).to("cpu")(inputs.reference, inputs.driving)
    result = motionkit.load("warp", gpu={"name": "8gb"}).to("cpu")(inputs.reference, inputs.driving)
    assert result.manifest["plan"]["device"] == "cpu"


def test_seed_frames_and_size_of_a_call(inputs, tmp_path):
    import torch

    method = motionkit.load("warp", gpu="cpu")
    words = {"num_frames": 3, "height": 16, "width": 32, "generator": torch.Generator().manual_seed(41)}
    result = method(inputs.reference, inputs.driving, folder=tmp_path, negative_prompt=None, **words)
    assert len(result.frames) == 3
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["seed"] == 41
    asked, _ = method._asked(words, False)
    assert (asked.frames, asked.size, asked.seed) == (3, (16, 32), 41)
    same, _ = method._asked({"generator": None, "height": None, "width": None}, False)
    assert (same.size, same.seed) == (None, 0)


def test_numbers_of_numpy_and_torch_are_numbers(inputs, tmp_path):
    import numpy as np
    import torch

    words = {"seed": np.int64(3), "frames": torch.tensor(4), "size": (np.int32(16), np.int32(32)), "fps": np.float64(5)}
    result = motionkit.load("warp", gpu="cpu")(inputs.reference, inputs.driving, folder=tmp_path, **words)
    assert result.frames.shape[0] == 4 and json.loads((tmp_path / "manifest.json").read_text())["seed"] == 3
    assert motionkit.load("flipsketch", motion=np.float64(0.25)).settings.motion == 0.25


@pytest.mark.parametrize("word", synonyms.INSTEAD)
def test_words_of_diffusers_without_a_meaning_say_what_to_do_and_none_is_taken(word):
    method = motionkit.load("warp", **{word: None})
    method._asked({word: None}, False)
    for call in (method, lambda **words: motionkit.load("warp", **words)):
        with pytest.raises(UserError, match=f"{word}= is not taken here: "):
            call(**{word: "x"})


def test_what_a_pipeline_can_do_is_named_in_its_refusal():
    method = motionkit.load("warp")
    for name, instead in synonyms.PIPELINE.items():
        with pytest.raises(AttributeError, match=re.escape(instead)):
            getattr(method, name)
    assert not hasattr(method, "nothing") and copy.deepcopy(method).request == method.request


def test_other_tools_names_of_the_inputs(inputs):
    asked, _ = motionkit.load("warp")._asked({"image": inputs.reference, "video": inputs.driving}, False)
    assert asked.inputs.reference is inputs.reference and asked.inputs.driving is inputs.driving


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"num_inference_step": 4}, "did you mean 'num_inference_steps'"),
        ({"height": 64}, "height= and width="),
        ({"height": 64, "width": 64, "size": 64}, "give only one"),
        ({"frames": 4, "num_frames": 4}, "another keyword"),
        ({"generator": [1, 2]}, "torch.Generator"),
        ({"num_inference_steps": 4}, "steps here"),
        ({"backbone_path": "x"}, "to load"),
        ({"model": "sd15"}, "to load"),
    ],
)
def test_what_a_call_refuses(words, says):
    with pytest.raises(UserError, match=says):
        motionkit.load("warp")(**words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"frames": 4}, "in the call"),
        ({"num_frames": 4}, "in the call.*frames="),
        ({"torch_dtyp": 4}, "did you mean 'torch_dtype'"),
        ({"num_inference_steps": 4, "sample": {"steps": 5}}, "another keyword"),
        ({"num_inference_steps": 4, "sample": 5}, "sample"),
    ],
)
def test_what_load_refuses(words, says):
    with pytest.raises(UserError, match=says):
        motionkit.load("anamodiff", **words)


def test_a_callback_is_called_once_a_step_and_may_stop_the_run():
    owner, seen = types.SimpleNamespace(), []
    progress = StepCallback(lambda *given: seen.append(given), owner)
    progress.start("invert", 2)
    progress.step("invert", 2)
    progress.start("denoise", 3)
    for done in (0, 1, 3):
        progress.step("denoise", done)
    assert seen == [(owner, step, None, {}) for step in (0, 1, 2)]
    assert not progress.cancelled()
    owner._interrupt = True
    assert progress.cancelled()


def test_a_callback_sees_the_steps_of_a_real_run(inputs):
    method = motionkit.load("flipsketch", "tiny-modelscope", gpu="cpu", num_inference_steps=3)
    seen = []
    words = {"prompt": "a horse", "num_frames": 2, "size": 64}
    method(inputs.reference, callback_on_step_end=lambda pipe, step, *rest: seen.append((pipe, step)), **words)
    assert seen == [(method, step) for step in range(len(seen))] and len(seen) >= 3

    timed = []
    method(
        inputs.reference,
        callback_on_step_end=lambda pipe, step, t, tensors: timed.append((t, tuple(tensors["latents"].shape))),
        **words,
    )
    assert [t for t, _ in timed] == sorted((t for t, _ in timed), reverse=True) and len(timed) == 3
    assert {shape for _, shape in timed} == {(1, 4, 2, 16, 16)}

    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = True

    with pytest.raises(Cancelled):
        method(inputs.reference, callback_on_step_end=stop, seed=1, **words)


@pytest.mark.parametrize("name", ["anamodiff", "vidmp3", "animatex"])
def test_a_callback_changes_the_latents_that_a_run_goes_on_with(name, inputs):
    settings = {
        "anamodiff": {"lora": {"steps": 0}},
        "vidmp3": {"tune": {"steps": 0}, "maps": {"long_side": 16}, "guide": {"inputs": "off"}, "start_t": 1000},
        "animatex": {"nobody": "blank"},
    }
    method = motionkit.load(name, gpu="cpu", num_inference_steps=2, backbone=tiny_of(name), **settings[name])
    words = {"prompt": "a horse", "num_frames": 2, "size": 64}

    def go(callback):
        return method(inputs.reference, inputs.driving, callback_on_step_end=callback, **words).frames

    plain = go(lambda pipe, step, t, tensors: None)
    same = go(lambda pipe, step, t, tensors: tensors)
    other = go(lambda pipe, step, t, tensors: {"latents": -tensors["latents"]})
    assert (plain == same).all() and (plain != other).any()


def tiny_of(name):
    return next(backbone for backbone in motionkit.load(name).spec.backbones if backbone.startswith("tiny-"))


def test_short_names_of_a_method_and_of_its_memory():
    text = repr(motionkit.load("anamodiff", backbone="tiny-sd", gpu="cpu"))
    assert len(text) < 90 and "anamodiff" in text and "tiny-sd" in text and "cpu" in text
    assert keywords.short({"name": "auto", "device": "cuda", "dtype": None}) == "auto cuda"
    assert keywords.merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}) == {"a": {"b": 3, "c": 2}, "d": 4}
