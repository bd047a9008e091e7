"""Cells that need little of their own: LoRA pairs in any UNet, and Animate-X with Mamba along time."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from motionkit.backbones import fingerprint, load
from motionkit.backbones.adapters import add_lora
from motionkit.backbones.base import attention_sites
from motionkit.errors import UserError
from motionkit.methods.vidmp3.options import TuneOptions
from motionkit.methods.vidmp3.trainable import make_trainable
from motionkit.running.execute import execute
from motionkit.settings.gpu import Plan
from motionkit.sprites.export import write_drawings
from motionkit.testing.clips import moving_shapes, sample_inputs
from motionkit.training.job import DataConfig, TrainJob
from motionkit.transfer import Inputs


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-animatediff-sd15", "tiny-modelscope"])
def test_lora_pairs_change_nothing_at_first_and_are_drawn_from_their_seed(name, draw):
    backbone, drawn = load(name, Plan()), []
    text, clip = backbone.encode_text(["a dog"]), torch.randn(1, 4, 2, 16, 16, generator=draw)
    before = torch.get_rng_state()
    for seed in (1, 1, 2):
        unet = backbone.fresh_unet()
        add_lora(unet, [f"{site.name}.to_q" for site in attention_sites(unet, "cross")], 2, seed)
        pairs = {n: p for n, p in unet.named_parameters() if "lora_" in n}
        assert pairs and all(p.requires_grad for p in pairs.values())
        drawn.append(torch.cat([p.detach().flatten() for n, p in pairs.items() if "lora_A" in n]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        found = backbone.denoise(clip, 500, text, unet=unet)
        torch.testing.assert_close(found, backbone.denoise(clip, 500, text), atol=1e-6, rtol=1e-5)


def test_vidmp3_tunes_a_lora_on_modelscope(tmp_path):
    settings = {"steps": 2, "tune": {"steps": 2, "rank": 2}, "maps": {"long_side": 16}, "sample": {"guidance": 1.0}}
    inputs = Inputs(driving=moving_shapes(3), prompt="a green cat", source_prompt="a red dog")
    result = execute("vidmp3", inputs, config=settings, backbone="tiny-modelscope", folder=tmp_path, use_cache=False)
    assert result.frames.shape == (3, 64, 64, 3)


def test_vidmp3_tunes_a_lora_on_the_ends_of_motion_modules(draw):
    backbone = load("tiny-animatediff-sd15", Plan())
    unet, text = backbone.fresh_unet(), backbone.encode_text(["a dog"])
    weights = make_trainable(unet, TuneOptions(ends=True, rank=2))
    ends = [name for name in weights if ".proj_in." in name or ".proj_out." in name]
    clip = torch.randn(1, 4, 2, 16, 16, generator=draw)
    with torch.no_grad():
        plain = backbone.denoise(clip, 500, text)
        torch.testing.assert_close(backbone.denoise(clip, 500, text, unet=unet), plain, atol=1e-6, rtol=1e-5)
        for name in ends:
            weights[name].fill_(0.5)
        assert (backbone.denoise(clip, 500, text, unet=unet) - plain).abs().amax() > 1e-4


def test_animatex_runs_with_attention_or_mamba_along_time(tmp_path):
    frames = {}
    for name in ("tiny-animatex", "tiny-animatex-mamba"):
        settings = {"nobody": "blank", "sample": {"steps": 2}}
        frames[name] = execute(
            "animatex", sample_inputs(), config=settings, backbone=name, folder=tmp_path / name, use_cache=False
        ).frames
    assert not np.array_equal(*frames.values())
    mamba = load("tiny-animatex-mamba", Plan())
    assert not attention_sites(mamba.unet, "temporal_self") and mamba.network.config.temporal == "mamba"
    assert mamba.fingerprint() == fingerprint("tiny-animatex-mamba") != fingerprint("tiny-animatex")


def test_a_sketch_lora_of_animatediff_is_trained_and_taken(tmp_path):
    from motionkit.methods.flipsketch.train import train
    from motionkit.methods.flipsketch.train_config import TrainOptions

    write_drawings(tmp_path / "clips", 3, frames=3, size=32)
    settings = {"log_every": 1, "batch": 1, "targets": "temporal", "lr": 0.1}

    def job(name, frames=2, steps=2):
        options = TrainOptions(backbone=name, frames=frames, **settings)
        return TrainJob(
            None, DataConfig("folder", str(tmp_path / "clips")), Plan(), tmp_path / "lora", options, steps, size=32
        )

    train(job("tiny-animatediff-sd15"))
    file = load_file(tmp_path / "lora" / "lora.safetensors")
    assert file and all(".motion_modules." in name for name in file)
    quick = {"sample": {"steps": 2}, "align": {"enabled": False}, "invert": {"copies": 1}, "binarise": "none"}
    frames = [
        execute(
            "flipsketch",
            sample_inputs(),
            config=quick | {"lora": lora},
            backbone="tiny-animatediff-sd15",
            folder=tmp_path / lora[:1],
            use_cache=False,
        ).frames
        for lora in ("none", str(tmp_path / "lora" / "lora.safetensors"))
    ]
    assert not np.array_equal(*frames)
    for name, says in (
        ("sd15", "sd15 makes single pictures"),
        ("animatex", "animatex reads no prompt"),
        ("animatediff-sdxl", "has two text encoders.*animatediff-sd15"),
    ):
        with pytest.raises(UserError, match=says):
            train(job(name))
    with pytest.raises(UserError, match="support 32 frames, the clip has 33"):
        train(job("tiny-animatediff-sd15", frames=33))
