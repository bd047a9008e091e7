"""DDIM for a plain function of latents and timestep, for scripts; a method calls `loop` and `inversion`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from motionkit.backbones.noise_levels import Scheduler
from motionkit.diffusion import inversion
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Predict, bare
from motionkit.diffusion.guidance import guide as guide
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.schedule import OnStep

_GONE = {
    "guided": "give `motionkit.diffusion.loop.denoise` a `Guidance`",
    "text_predictor": "give `motionkit.diffusion.loop.denoise` a `guidance.text_model` and a `Guidance`",
}


def ddim_sample(
    predict: Predict,
    scheduler: Scheduler,
    latents: Tensor,
    steps: int,
    *,
    start_t: int | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Noised latents (any shape) to clean ones with a diffusers DDIMScheduler; the state is float32.

    `start_t` (a timestep, 0..999) starts part of the way: the first step is at the highest timestep <= start_t, and
    `latents` must have the noise level of `DDIM(scheduler).grid(steps, start_t)[0]`.
    Raises: UserError naming the step at which the model returned NaN or infinity.
    """
    sampler = DDIM(scheduler)
    return denoise(bare(predict), sampler, latents, sampler.grid(steps, start_t), progress=progress)


def ddim_invert(predict: Predict, scheduler: Scheduler, latents: Tensor, steps: int, **options: Any) -> Tensor:
    """Clean latents (any shape) to noised ones with a diffusers DDIMScheduler; `options` as in `inversion.invert`."""
    return inversion.invert(bare(predict), DDIM(scheduler), latents, steps, **options)


def __getattr__(name: str) -> Any:
    """Say what replaces a name of version 0.1."""
    if name in _GONE:
        raise ImportError(f"motionkit.diffusion.sampling.{name} was removed: {_GONE[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
