"""Cells that need little of their own: LoRA pairs in any UNet, and Animate-X with Mamba along time."""

import numpy as np
import pytest
import torch

from motionkit.backbones import fingerprint, load
from motionkit.backbones.adapters import add_lora
from motionkit.backbones.base import attention_sites
from motionkit.gpu import Plan
from motionkit.run import execute
from motionkit.testing.clips import moving_shapes, sample_inputs
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
