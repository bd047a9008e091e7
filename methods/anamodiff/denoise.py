"""From the warped start to clean latents: DDIM inverse warping (AnaMoDiff section 3.4), or the noised warped clip."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from motionkit.diffusion import loop
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.inversion import invert
from motionkit.diffusion.noise import warp_noise
from motionkit.diffusion.samplers import Invertible, Sampler, make_sampler

from .config import AnaMoDiffConfig
from .nets import Net

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext
    from motionkit.transfer import Inputs, Tensors


def denoise_from(
    net: Net,
    backbone: VideoBackbone,
    config: AnaMoDiffConfig,
    run: RunContext,
    inputs: Inputs,
    prepared: Tensors,
    anchor: str,
) -> Tensor:
    """All frames together through the tuned UNet.

    Args:
        prepared: what `prepare` made.
        anchor: "first", "reference" (the frame that stands still), or "source" (an extra source frame is denoised along
            with the others and then left out).

    Returns:
        Clean latents (T, C, h, w).
    """
    sample, sampler = config.sample, make_sampler(backbone, run.sampler, run.generator("sampler"))
    inverted, extra = sample.start == "inverted", anchor == "source"
    if inverted:
        moving, lead = _inverted_start(net, backbone, sampler, config, run, inputs, prepared)
    else:
        moving, lead = _noised_start(sampler, config, run, prepared)
    start = torch.cat([lead[None], moving]) if extra else moving
    net.context.frames = len(start)
    net.context.anchor = int(prepared["reference"]) if anchor == "reference" else 0
    clip = loop.denoise(
        text_model(
            partial(backbone.denoise, unet=net.unet),
            backbone.encode_text([inputs.prompt]),
            backbone.encode_text([inputs.negative_prompt]),
        ),
        sampler,
        rearrange(start, "f c h w -> 1 c f h w").to(backbone.device),
        sampler.grid(sample.steps, None if inverted else sample.start_t),
        Guidance(sample.guidance, sample.rescale, batched=run.plan.batched),
        progress=run.progress.walk("denoise"),
    )
    return rearrange(clip, "1 c f h w -> f c h w")[int(extra) :]  # (T,C,h,w)


def _inverted_start(
    net: Net,
    backbone: VideoBackbone,
    sampler: Invertible,
    config: AnaMoDiffConfig,
    run: RunContext,
    inputs: Inputs,
    prepared: Tensors,
) -> tuple[Tensor, Tensor]:
    """The picked source frames inverted to noise and warped (T, C, h, w), and the most used one (C, h, w) as it is.

    The tuned net inverts, one frame at a time and without guidance: with another net the way back would differ.
    """
    used, place = prepared["pick"].unique(return_inverse=True)
    net.context.frames, net.context.anchor = 1, 0
    prompt = inputs.prompt if config.sample.inversion_prompt is None else config.sample.inversion_prompt
    noise = invert(
        text_model(partial(backbone.denoise, unet=net.unet), backbone.encode_text([prompt])),
        sampler,
        prepared["source"][used][:, :, None].to(backbone.device),  # (U,C,1,h,w)
        config.sample.steps,
        progress=lambda done, total: run.progress.tick("invert", done, total),
    )[:, :, 0].cpu()  # (U,C,h,w)
    return _moved(noise[place], config, run, prepared), noise[place.mode().values]


def _noised_start(
    sampler: Sampler, config: AnaMoDiffConfig, run: RunContext, prepared: Tensors
) -> tuple[Tensor, Tensor]:
    """The warped clip noised to the first timestep (T, C, h, w) by one field that moves with it, and the source so."""
    sample = config.sample
    level = sampler.grid(sample.steps, sample.start_t)[0].level
    shape = (1, *prepared["warped"].shape[1:])
    base = torch.randn(shape, generator=run.generator("start"))
    lead = level.mix(prepared["source"][prepared["pick"].mode().values], base[0])
    return level.mix(prepared["warped"], _moved(base, config, run, prepared)), lead


def _moved(noise: Tensor, config: AnaMoDiffConfig, run: RunContext, prepared: Tensors) -> Tensor:
    warp = config.warp
    return warp_noise(noise, prepared["grid"], warp.noise, run.generator("moving noise"), diversity=warp.diversity)
