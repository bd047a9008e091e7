"""AnaMoDiff on video models: their own layers along time, sparse self-attention, adapters, lengths."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from motionkit.backbones import load
from motionkit.backbones.base import attention_sites
from motionkit.context import NullProgress, Reporter, RunContext
from motionkit.errors import UserError
from motionkit.methods.anamodiff.config import AnaMoDiffConfig, LoraConfig, VideoConfig
from motionkit.methods.anamodiff.nets import build
from motionkit.methods.anamodiff.tune import Material, load_tuned, trainable, tune
from motionkit.running.execute import execute
from motionkit.settings.gpu import Plan
from motionkit.testing.clips import sample_inputs

TINY = ("tiny-animatediff-sd15", "tiny-modelscope")


@pytest.fixture(scope="module", params=TINY)
def backbone(request):
    return load(request.param, Plan())


@pytest.fixture
def run(tmp_path):
    return RunContext(0, 3, 64, 64, 8.0, Plan(), Path(tmp_path), Reporter(NullProgress()))


def settings(steps=2, **changes):
    return AnaMoDiffConfig(
        lora=LoraConfig(steps=steps, rank=2, clip_frames=3, **changes), video=VideoConfig(anchor="first")
    ).on("tiny-modelscope")


def test_it_begins_as_the_video_model_and_looks_at_the_anchor(backbone, run, draw):
    config, text = settings(), backbone.encode_text(["a dog"])
    net = build(backbone, config.lora, config.video, run)
    clip = torch.randn(1, 4, 3, 16, 16, generator=draw)
    with torch.no_grad():
        net.context.frames = 1
        one = backbone.denoise(clip[:, :, :1], 500, text, unet=net.unet)
        torch.testing.assert_close(one, backbone.denoise(clip[:, :, :1], 500, text), atol=1e-5, rtol=1e-4)
        net.context.frames = 3
        found = []
        for anchor in (0, 2):
            net.context.anchor = anchor
            found.append(backbone.denoise(clip, 500, text, unet=net.unet))
    assert (found[0] - found[1]).abs().amax() > 1e-4
    assert "own" in run.notes["layers_along_time"]


def test_only_adapters_learn_and_those_of_each_role(backbone, run):
    def sites(targets):
        net = build(backbone, settings(targets=targets).lora, settings().video, run)
        return net.unet, {name.split(".to_")[0] for name in trainable(net) if "lora_" in name}, trainable(net)

    unet, every, learns = sites("attn1,attn2,attn_temp")
    assert all("lora_" in name for name in learns)
    roles = {"attn1": "spatial_self", "attn2": "cross", "attn_temp": "temporal_self"}
    for target, role in roles.items():
        only = sites(target)[1]
        assert only == {site.name for site in attention_sites(unet, role)} and only < every


def test_joint_statistics_are_over_the_clip(backbone, run, draw):
    text, clip = backbone.encode_text(["a dog"]), torch.randn(1, 4, 3, 16, 16, generator=draw)
    found = []
    for joint in (False, True):
        net = build(backbone, settings(steps=0).lora, replace(settings().video, joint_groupnorm=joint), run)
        net.context.frames = 3
        with torch.no_grad():
            found.append(backbone.denoise(clip, 500, text, unet=net.unet))
    assert (found[0] - found[1]).abs().amax() > 1e-4


def test_tuned_adapters_come_back_as_they_were(backbone, run, draw):
    config, text = settings(steps=3, lr=1e-2), backbone.encode_text(["a dog"])
    clip = torch.randn(4, 4, 16, 16, generator=draw)
    net = build(backbone, config.lora, config.video, run)
    fitted = tune(net, backbone, text, Material(clip, clip, torch.zeros(4, 16, 16, 2)), config.lora, run)
    again = build(backbone, config.lora, config.video, run)
    load_tuned(again, fitted)
    fresh = build(backbone, settings(steps=0).lora, config.video, run)
    noisy, results = clip.transpose(0, 1)[None], []
    for each in (net, again, fresh):
        each.context.frames = 4
        with torch.no_grad():
            results.append(backbone.denoise(noisy, 500, text, unet=each.unet))
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)
    assert (results[0] - results[2]).abs().amax() > 1e-4


@pytest.mark.parametrize(
    ("changes", "frames", "says"),
    [
        ({}, 32, "support 32 frames, the clip has 33: .*method.video.anchor=first"),
        ({"lora": {"clip_frames": 40}}, 4, "support 32 frames, the clip has 40: .*method.lora.clip_frames"),
        ({"video": {"anchor": "first"}}, 33, "support 32 frames, the clip has 33: give frames=32 or fewer"),
    ],
)
def test_clips_longer_than_the_modules_know_are_refused_at_once(changes, frames, says, tmp_path, monkeypatch):
    monkeypatch.setattr("motionkit.backbones.load", lambda *a, **k: pytest.fail("weights were loaded"))
    with pytest.raises(UserError, match=says):
        execute(
            "anamodiff",
            sample_inputs(),
            config=changes,
            backbone="tiny-animatediff-sd15",
            frames=frames,
            folder=tmp_path / "run",
        )
