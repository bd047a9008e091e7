"""From the warped start to clean latents: DDIM inverse warping (AnaMoDiff section 3.4), or the noised warped clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motionkit.diffusion.inversion import ddim_invert
from motionkit.diffusion.noise import warp_noise
from motionkit.diffusion.sampling import ddim_sample, text_predictor
from motionkit.diffusion.schedule import rungs

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
    sample = config.sample
    inverted, extra = sample.start == "inverted", anchor == "source"
    if inverted:
        moving, lead = _inverted_start(net, backbone, config, run, inputs, prepared)
    else:
        moving, lead = _noised_start(backbone, config, run, prepared)
    start = torch.cat([lead[None], moving]) if extra else moving
    net.context.frames = len(start)
    net.context.anchor = int(prepared["reference"]) if anchor == "reference" else 0
    predict = text_predictor(
        backbone,
        backbone.encode_text([inputs.prompt]),
        backbone.encode_text([inputs.negative_prompt]),
        sample.guidance,
        sample.rescale,
        unet=net.unet,
    )
    clip = ddim_sample(
        predict,
        backbone.scheduler,
        start.transpose(0, 1)[None].to(backbone.device),  # (1,C,F,h,w)
        sample.steps,
        start_t=None if inverted else sample.start_t,
        progress=lambda done, total: run.progress.tick("denoise", done, total),
    )
    return clip[0].transpose(0, 1)[int(extra) :]  # (T,C,h,w)


def _inverted_start(
    net: Net, backbone: VideoBackbone, config: AnaMoDiffConfig, run: RunContext, inputs: Inputs, prepared: Tensors
) -> tuple[Tensor, Tensor]:
    """The picked source frames inverted to noise and warped (T, C, h, w), and the most used one (C, h, w) as it is.

    The tuned net inverts, one frame at a time and without guidance: with another net the way back would differ.
    """
    used, place = prepared["pick"].unique(return_inverse=True)
    net.context.frames, net.context.anchor = 1, 0
    prompt = inputs.prompt if config.sample.inversion_prompt is None else config.sample.inversion_prompt
    text = backbone.encode_text([prompt])
    noise = ddim_invert(
        lambda x, t: backbone.denoise(x, t, text.expand(len(x), -1, -1), unet=net.unet),
        backbone.scheduler,
        prepared["source"][used][:, :, None].to(backbone.device),  # (U,C,1,h,w)
        config.sample.steps,
        progress=lambda done, total: run.progress.tick("invert", done, total),
    )[:, :, 0].cpu()
    return _moved(noise[place], config, run, prepared), noise[place.mode().values]


def _noised_start(
    backbone: VideoBackbone, config: AnaMoDiffConfig, run: RunContext, prepared: Tensors
) -> tuple[Tensor, Tensor]:
    """The warped clip noised to the first timestep (T, C, h, w) by one field that moves with it, and the source so."""
    sample = config.sample
    rung = rungs(backbone.scheduler, sample.steps, sample.start_t)[0]
    shape = (1, *prepared["warped"].shape[1:])
    base = torch.randn(shape, generator=run.generator("start"))
    signal, spread = rung.alpha.sqrt(), (1 - rung.alpha).sqrt()
    moving = signal * prepared["warped"] + spread * _moved(base, config, run, prepared)
    return moving, signal * prepared["source"][prepared["pick"].mode().values] + spread * base[0]


def _moved(noise: Tensor, config: AnaMoDiffConfig, run: RunContext, prepared: Tensors) -> Tensor:
    warp = config.warp
    return warp_noise(noise, prepared["grid"], warp.noise, run.generator("moving noise"), diversity=warp.diversity)
