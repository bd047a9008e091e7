"""Where a plan's autocast is on: around float32 weights that compute in half precision, and nowhere else."""

from contextlib import nullcontext

import pytest
import torch

from motionkit.backbones import load
from motionkit.settings.gpu import Plan

HALF = Plan(dtype="bfloat16", autocast="bfloat16")


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-modelscope", "tiny-animatediff-sd15", "tiny-animatex"])
def test_weights_that_are_half_compute_without_autocast(name):
    backbone = load(name, HALF)
    for part in (backbone.vae, backbone.unet, backbone.text_encoder):
        assert isinstance(backbone._arithmetic(part), nullcontext)
    seen = []
    layer = next(m for m in backbone.unet.modules() if isinstance(m, torch.nn.GroupNorm))
    layer.register_forward_hook(lambda _, given, out: seen.append((given[0].dtype, torch.is_autocast_enabled("cpu"))))
    with torch.no_grad():
        found = backbone.denoise(torch.zeros(1, 4, 2, 16, 16), 500, backbone.encode_text(["a cat"]))
    assert set(seen) == {(torch.bfloat16, False)} and found.dtype == torch.float32 and found.isfinite().all()


def test_one_tuned_weight_in_float32_needs_it():
    backbone = load("tiny-sd", HALF)
    unet = backbone.fresh_unet()
    weight = next(unet.parameters())
    weight.data = weight.data.float()
    assert not isinstance(backbone._arithmetic(unet), nullcontext)
    with torch.no_grad():
        backbone.denoise(torch.zeros(1, 4, 2, 16, 16), 500, backbone.encode_text(["a cat"]), unet=unet)


def test_a_part_that_was_kept_wide_stays_wide():
    backbone = load("tiny-sd", HALF)
    assert isinstance(backbone._arithmetic(backbone.vae.float(), whole=True), nullcontext)


def test_float32_weights_of_a_plan_for_bfloat16_arithmetic_keep_it():
    backbone = load("tiny-sd", Plan(autocast="bfloat16"))
    assert not isinstance(backbone._arithmetic(backbone.unet), nullcontext)
    assert not isinstance(backbone._arithmetic(backbone.vae, whole=True), nullcontext)
