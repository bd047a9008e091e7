"""A card that is full: one line, nothing half-written, and the run goes on with the setting that the line names."""

import json

import pytest
import torch

import motionkit
from motionkit.errors import UserError
from motionkit.methods.anamodiff.method import AnaMoDiff
from motionkit.running.out_of_memory import explained, is_full, next_setting
from motionkit.settings.gpu import Plan
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
    assert all(word in line for word in ("'fit'", "20.00 MiB", "12.00 MiB", "gpu.vae_slicing=true"))


def test_the_settings_come_one_after_the_other():
    seen, plan = [], CARD
    for _ in range(4):
        seen.append(next_setting("fit", plan, None, 16))
        key, _, value = seen[-1].removeprefix("gpu.").partition("=")
        plan = Plan(**vars(plan) | {key: value == "true" if value in ("true", "false") else value})
    assert seen == ["gpu.vae_slicing=true", "gpu.offload=model", "gpu.checkpointing=true", "gpu.vae_tiling=true"]
    assert "frames=12" in next_setting("fit", plan, None, 16)


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
