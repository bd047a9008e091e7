"""Folding makes the latents' channels alike and leaves the pictures as they were."""

import copy

import pytest
import torch
from diffusers import AutoencoderKL

from motionkit.errors import UserError
from motionkit.training.recipes.fold_latents import fold, statistics
from motionkit.training.recipes.pocket_vae import CONFIG


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    made = AutoencoderKL(**CONFIG | dict(block_out_channels=(16,))).eval()
    with torch.no_grad():
        made.quant_conv.bias += torch.randn(8)
        made.quant_conv.weight *= torch.tensor([1.0, 3.0, 0.5, 2.0, 1, 1, 1, 1]).view(-1, 1, 1, 1)
    return made


@torch.no_grad()
def test_unit_variance_and_the_same_pictures(vae):
    folded = copy.deepcopy(vae)
    mean, deviation = statistics(vae, 32)
    assert deviation.max() / deviation.min() > 1.5 and mean.abs().max() > 0.1
    fold(folded, mean, deviation)
    mean, deviation = statistics(folded, 32)
    scale = folded.config.scaling_factor
    assert scale == vae.config.scaling_factor
    assert torch.allclose(deviation * scale, torch.ones(4), atol=1e-3) and (mean * scale).abs().max() < 1e-3
    x = torch.rand(2, 48, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before, after = vae.encode(x).latent_dist, folded.encode(x).latent_dist
    assert torch.allclose(vae.decode(before.mean).sample, folded.decode(after.mean).sample, atol=1e-4)
    spread = [d.std / d.mean.std((0, 2, 3), keepdim=True) for d in (before, after)]  # noise relative to the signal
    assert torch.allclose(*spread, rtol=1e-3)


def test_without_quant_convolutions_there_is_nothing_to_fold_into():
    plain = AutoencoderKL(**CONFIG | dict(block_out_channels=(16,), use_quant_conv=False, use_post_quant_conv=False))
    with pytest.raises(UserError, match="quant_conv"):
        fold(plain, torch.zeros(4), torch.ones(4))
