"""A backbone of 16 latent channels, a stride in time and flow matching: nothing assumes Stable Diffusion's latents."""

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel

from motionkit.backbones import catalog, tiny, tiny_sizes
from motionkit.backbones.sd import StableDiffusion, check_parts
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.inversion import invert
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import make_sampler
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan

SPEC = replace(
    catalog.get("tiny-sd"),
    name="tiny-flow",
    latent_channels=16,
    time_stride=4,
    predictions=("flow_prediction",),
    sampler="flow-euler",
)


@pytest.fixture(scope="module")
def backbone():
    sizes = tiny_sizes.ARCHITECTURE
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = tiny.components() | {
            "vae": AutoencoderKL(**sizes["vae"], latent_channels=16),
            "unet": UNet2DConditionModel(**sizes["unet"], in_channels=16, out_channels=16),
            "scheduler": FlowMatchEulerDiscreteScheduler(shift=2.0),
        }
    parts["unet"].conv_out.weight.data *= tiny_sizes.OUTPUT_SCALE
    return StableDiffusion(SPEC, Plan(), **parts, fingerprint="flow")


def test_it_says_what_its_latents_are(backbone):
    assert (backbone.latent_channels, backbone.time_stride) == (16, 4)
    assert backbone.prediction_type == "flow_prediction"
    assert [backbone.latent_shape(frames, 64, 32) for frames in (1, 4, 5, 13)] == [
        (16, times, 16, 8) for times in (1, 1, 2, 4)
    ]
    assert backbone.encode(torch.rand(2, 3, 64, 32)).shape == (2, 16, 16, 8)


def test_it_denoises_under_guidance_and_comes_back_from_an_inversion(backbone):
    text, negative = backbone.encode_text(["a red cat"]), backbone.encode_text([""])
    model, sampler = text_model(backbone.denoise, text, negative), make_sampler(backbone)
    x = torch.randn(1, *backbone.latent_shape(5, 32, 32), generator=torch.Generator().manual_seed(0))
    latents = denoise(model, sampler, x, sampler.grid(4), Guidance(3.0))
    assert latents.shape == x.shape and backbone.decode(latents[0].transpose(0, 1)).shape == (2, 3, 32, 32)
    gaps = []
    for steps in (5, 20):
        back = denoise(model, sampler, invert(model, sampler, x, steps), sampler.grid(steps))
        gaps.append(float((back - x).norm() / x.norm()))
    assert gaps[1] < 0.5 * gaps[0]


def test_it_is_trained_towards_the_velocity(backbone):
    x0, eps = torch.randn(2, 2, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([250, 750])
    noisy = backbone.noised(x0, eps, t)
    torch.testing.assert_close(noisy[1], 0.25 * x0[1] + 0.75 * eps[1])
    target = backbone.training_target(x0, eps, t)
    assert torch.equal(target, eps - x0)
    found = backbone.to_eps_x0(target, noisy, t)
    torch.testing.assert_close(found[0], eps)
    torch.testing.assert_close(found[1], x0)


def test_a_folder_is_held_to_the_channels_that_the_entry_says(tmp_path):
    unet, vae, text = {"in_channels": 16, "cross_attention_dim": 16}, {"latent_channels": 16}, [{"hidden_size": 16}]
    check_parts(SPEC, tmp_path, unet, vae, text)
    with pytest.raises(UserError, match="16 input channels, not 4"):
        check_parts(catalog.get("tiny-sd"), tmp_path, unet, vae, text)
    with pytest.raises(UserError, match="4 latent channels, not 16"):
        check_parts(SPEC, tmp_path, unet, {}, text)
