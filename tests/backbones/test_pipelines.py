"""The whole road from prompt to picture against diffusers' own pipelines, on tiny models."""

import dataclasses

import pytest
import torch

from motionkit.backbones import get, load
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.settings.gpu import Plan

PROMPT, NEGATIVE = "a green turtle running", "a red cat"


def ours(backbone, noise, steps):
    text, negative = backbone.encode_text([PROMPT] * 2), backbone.encode_text([NEGATIVE] * 2)
    model, sampler = text_model(backbone.denoise, text, negative), DDIM(backbone.scheduler)
    guidance = Guidance(scale=7.5, rescale=0.7, batched=True)
    latents = denoise(model, sampler, noise, sampler.grid(steps), guidance)  # (2, 4, 1, h, w): two pictures, not a clip
    return backbone.decode(latents[:, :, 0])


def theirs(pipeline, noise, steps):
    pipeline.set_progress_bar_config(disable=True)
    pictures = []
    for frame in noise[:, :, 0]:
        settings = {"num_inference_steps": steps, "guidance_scale": 7.5, "guidance_rescale": 0.7, "output_type": "pt"}
        out = pipeline(PROMPT, negative_prompt=NEGATIVE, latents=frame[None].clone(), height=64, width=64, **settings)
        pictures.append(out.images[0])
    return torch.stack(pictures)


@pytest.fixture(scope="module")
def noise():
    return torch.randn(2, 4, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_stable_diffusion(sound_folder, noise):
    from diffusers import StableDiffusionPipeline

    backbone = load("pocket-sd", Plan(), path=str(sound_folder))
    parts = {k: getattr(backbone, k) for k in ("vae", "unet", "text_encoder", "tokenizer", "scheduler")}
    pipeline = StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    torch.testing.assert_close(ours(backbone, noise, 4), theirs(pipeline, noise, 4), rtol=0, atol=1e-4)


def test_stable_diffusion_xl(sound_xl_folder, noise):
    from diffusers import StableDiffusionXLPipeline

    spec = dataclasses.replace(get("sdxl"), expects=())
    backbone = load(spec, Plan(), path=str(sound_xl_folder))
    assert backbone.encode_text([PROMPT]).shape == (1, 16 + 1, 16 + 24)
    names = ("vae", "unet", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "scheduler")
    pipeline = StableDiffusionXLPipeline(**{k: getattr(backbone, k) for k in names}, add_watermarker=False)
    torch.testing.assert_close(ours(backbone, noise, 4), theirs(pipeline, noise, 4), rtol=0, atol=1e-4)


def test_xl_sees_the_pooled_text_and_the_size(sound_xl_folder, noise):
    backbone = load(dataclasses.replace(get("sdxl"), expects=()), Plan(), path=str(sound_xl_folder))
    text = backbone.encode_text([PROMPT])
    other = text.clone()
    other[:, -1, 0] += 1  # the pooled row only
    noise = noise[:1]
    out = backbone.denoise(noise, 500, text)
    assert not torch.allclose(out, backbone.denoise(noise, 500, other))
    padded = text.clone()
    padded[:, -1, 20:] += 1  # beyond the pooled vector: filling
    assert torch.equal(out, backbone.denoise(noise, 500, padded))
    assert len(backbone.parts()) == 4


def test_the_xl_autoencoder_stays_out_of_half_precision(sound_xl_folder):
    spec = dataclasses.replace(get("sdxl"), expects=())
    backbone = load(spec, Plan(dtype="float16", autocast="float16"), path=str(sound_xl_folder))
    assert backbone.vae.dtype == torch.float32 and backbone.dtype == torch.float16
    seen = []
    backbone.vae.decoder.conv_in.register_forward_hook(lambda module, x, y: seen.append(y.dtype))
    backbone.decode(torch.zeros(1, 4, 8, 8))
    assert seen == [torch.float32]
