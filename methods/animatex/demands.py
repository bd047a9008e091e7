"""What a run of Animate-X computes, for a plan by need: image features and denoising; no torch until it is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from motionkit.transfer import Demand

from .config import AnimateXSettings

if TYPE_CHECKING:
    from motionkit.context import RunContext

_HERE = "motionkit.methods.animatex.demands"


def demands(settings: AnimateXSettings, frames: int) -> list[Demand]:
    """The calls of the networks in a run that makes so many frames; the pose estimator is left out."""
    size, overlap, sample = settings.window.size, settings.window.overlap, settings.sample
    windows = 1 if frames <= size else len(range(0, frames - size, size - overlap)) + 1
    visited = [min(t + 1, 999) for t in range(0, 1000, 1000 // sample.steps)]
    low, high = (1000 * end for end in sample.guidance_interval)
    guided = sum(low <= t <= high for t in visited) if sample.guidance != 1 else 0
    step = Demand(
        "generate",
        "denoising step",
        windows * (guided or len(visited)),
        min(frames, size),
        f"{_HERE}:denoise_once",
        guided=guided > 0,
        smaller="method.window.size",
        halves=sample.batched,
    )
    found = [Demand("prepare", "image features", 1, frames + 1, f"{_HERE}:look_once", part="image_encoder"), step]
    if 0 < guided < len(visited):  # at the others the network is called once
        calls = windows * (len(visited) - guided)
        found.append(replace(step, what="step without guidance", calls=calls, guided=False, like=step.what))
    return found


def look_once(backbone: Any, settings: AnimateXSettings, run: RunContext, clips: int) -> Callable[[], Any]:
    """The image features of all frames, a few at a time."""
    import torch

    frames = torch.zeros(run.frames, 3, run.height, run.width)
    return lambda: backbone.encode_images(frames)


def denoise_once(backbone: Any, settings: AnimateXSettings, run: RunContext, clips: int) -> Callable[[], Any]:
    """One prediction under conditions; of two clips the first has none."""
    import torch

    from .net.conditions import Conditions, join

    slots, config = run.frames + 1, backbone.network.config
    latent = torch.zeros(1, *backbone.latent_shape(1, run.height, run.width))[:, :, 0]
    given = Conditions(
        backbone.encode_text([""]),
        run.frames,
        torch.zeros(1, 3, run.height, run.width),
        latent,
        torch.zeros(1, 3, slots, run.height, run.width),
        torch.zeros(1, slots, 2, 18),
        torch.zeros(1, 1, config.feature_dim),
        torch.zeros(1, slots, config.feature_dim),
    ).with_reference(config.entered(settings.reference_mode))
    parts = [backbone.prepare(given), *(backbone.prepare(given.empty()) for _ in range(clips - 1))]
    prepared = join(parts[::-1]) if clips > 1 else parts[0]
    latents = torch.zeros(clips, *backbone.latent_shape(run.frames, run.height, run.width), device=backbone.device)
    return lambda: backbone.denoise(latents, 500, prepared=prepared)
