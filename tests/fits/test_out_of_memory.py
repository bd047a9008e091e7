"""A card that is full: one line, nothing half-written, and the run goes on with the setting that the line names."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import motionkit
from motionkit import registry
from motionkit.context import RunContext
from motionkit.errors import UserError
from motionkit.methods.anamodiff.method import AnaMoDiff
from motionkit.running.choices import method_settings
from motionkit.running.needs import need_of
from motionkit.running.out_of_memory import explained, is_full, next_setting
from motionkit.running.stage_runner import StageRunner
from motionkit.settings.gpu import Plan
from motionkit.settings.presets import resolved
from motionkit.testing.clips import moving_shapes, picture

TEXT = (
    "CUDA out of memory. Tried to allocate 20.00 MiB."
    " GPU 0 has a total capacity of 7.79 GiB of which 12.00 MiB is free."
    " Of the allocated memory 7.10 GiB is allocated by PyTorch.\nSee documentation for Memory Management"
)
CARD = Plan(name="8gb", device="cuda", dtype="bfloat16", vae_slicing=False)


def full(*_):
    raise torch.OutOfMemoryError(TEXT)


def test_the_line_says_what_was_asked_for_what_was_free_and_what_to_try():
    error = torch.OutOfMemoryError(TEXT)
    assert is_full(error) and not is_full(RuntimeError("another"))
    line = str(explained(error, "fit", CARD, None, 16))
    assert "\n" not in line
    assert all(word in line for word in ("'fit'", "20.00 MiB", "12.00 MiB", "gpu.offload=model"))


def settings_tried(stage, settings=None, need=None):
    """All that is named, one after the other, each put into effect before the next."""
    seen, plan = [], CARD
    while "another machine" not in (said := next_setting(stage, plan, settings, 16, need)):
        seen.append(said)
        key, _, value = said.removeprefix("gpu.").partition("=")
        plan = replace(plan, **{key: value if value == "model" else value == "true"})
    return seen, said


def test_the_settings_come_one_after_the_other():
    """Tuning passes no autoencoder, so that its slices and tiles are no help there."""
    seen, last = settings_tried("fit")
    assert seen == ["gpu.offload=model", "gpu.checkpointing=true"] and "frames=12" in last
    assert settings_tried("prepare")[0] == ["gpu.vae_slicing=true", "gpu.offload=model", "gpu.vae_tiling=true"]


@pytest.mark.parametrize(("method", "stage"), [("vidmp3", "fit"), ("anamodiff", "fit"), ("flipsketch", "generate")])
def test_each_setting_lowers_the_stage_that_failed(method, stage):
    spec, backbone = registry.spec(method), "animatediff-sd15"
    settings = resolved(method_settings(spec), backbone)
    if hasattr(settings.sample, "batched"):
        settings.sample.batched = "off"
    need, plan = need_of(spec, settings, backbone, 16, 512, 512), CARD
    peak = lambda: next(peak.bytes for peak in need.peaks(plan) if peak.stage == stage)  # noqa: E731
    seen, last = settings_tried(stage, settings, need)
    assert seen
    for said in seen:
        before = peak()
        key, _, value = said.removeprefix("gpu.").partition("=")
        plan = replace(plan, **{key: value if value == "model" else value == "true"})
        assert peak() < before, said
    clip = settings.lora.clip_frames if method == "anamodiff" else 16
    key = "method.lora.clip_frames" if method == "anamodiff" else "frames"
    assert f"{key}={clip * 3 // 4} " in last


def test_the_line_of_a_run_knows_what_the_run_needs(tmp_path, monkeypatch):
    """On a backbone of which the need is known, the setting that shortens the stage's own clip is named."""
    spec = registry.spec("anamodiff")
    settings = method_settings(spec, {"lora": {"clip_frames": 8}})
    need = need_of(spec, settings, "sd15", 16, 512, 512)
    inputs = SimpleNamespace(inputs=None, lines=[], box=None)
    run = RunContext(0, 16, 512, 512, 8.0, replace(CARD, offload="model", checkpointing=True), tmp_path)
    runner = StageRunner(spec, None, inputs, run, None, settings, False, need=need)
    with pytest.raises(UserError, match=r"method\.lora\.clip_frames=6"), runner._timed("fit"):
        full()


def test_a_full_card_leaves_no_video_and_the_next_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    method = motionkit.load("anamodiff", backbone="tiny-sd", gpu="cpu", weights="random")
    asked = {"reference": picture(64, 64), "driving": moving_shapes(3, 64, 64), "prompt": "a cat"}
    asked |= {"frames": 3, "size": 64, "folder": tmp_path / "run", "lora": {"steps": 1, "clip_frames": 2}}
    with monkeypatch.context() as patched:
        patched.setattr(AnaMoDiff, "generate", full)
        with pytest.raises(UserError, match="full in the step 'generate'"):
            method(**asked)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "failed" and not (tmp_path / "run" / "result.mp4").exists()
    assert not list((tmp_path / "run").glob("*.partial*"))
    assert method(**asked).manifest["from_cache"] == ["prepare", "fit"]
