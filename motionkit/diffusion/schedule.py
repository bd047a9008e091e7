"""The deterministic DDIM step and its time grid, the same in both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from motionkit.backbones.noise_levels import alpha_at as alpha_at
from motionkit.backbones.noise_levels import to_eps_x0
from motionkit.errors import UserError

Scheduler = Any  # diffusers' DDIMScheduler, whose attributes carry no types
Predict = Callable[[Tensor, int], Tensor]  # (latents, timestep) -> the model's raw prediction, same shape
OnStep = Callable[[int, int], None]  # (steps done, steps in all)


class Rung(NamedTuple):
    """One step of the grid: timestep t, its alpha_bar, and the alpha_bar one rung closer to the clean image."""

    t: int
    alpha: Tensor
    alpha_below: Tensor


def rungs(scheduler: Scheduler, steps: int, start_t: int | None = None) -> list[Rung]:
    """The grid from noise to image: `steps` rungs over the whole schedule, without those above `start_t`.

    Timesteps are those of the scheduler (spacing, steps_offset). Below the last rung lies alpha_bar[0], or 1 with
    set_alpha_to_one. The rung below t is its neighbour in the grid; diffusers takes t - 1000 // steps instead, which is
    the same number wherever the grid is regular.
    Raises: UserError when steps is not in 1..num_train_timesteps or no rung is left; ValueError if the scheduler clips.
    """
    config = scheduler.config
    if config.clip_sample or config.thresholding:
        raise ValueError("latents are not clipped: build the scheduler with clip_sample=False and thresholding=False")
    if not 1 <= steps <= config.num_train_timesteps:
        raise UserError(f"steps must be between 1 and {config.num_train_timesteps}, not {steps}")
    times = _timesteps(config.timestep_spacing, config.num_train_timesteps, steps, config.steps_offset)
    alphas = [scheduler.alphas_cumprod[t] for t in times] + [scheduler.final_alpha_cumprod]
    grid = [Rung(t, alphas[i], alphas[i + 1]) for i, t in enumerate(times) if start_t is None or t <= start_t]
    if not grid:
        raise UserError(f"start_t={start_t} lies below the last of {steps} steps (t={times[-1]}): nothing to do")
    return grid


def _timesteps(spacing: str, total: int, steps: int, offset: int) -> list[int]:
    times: Any
    if spacing == "leading":
        times = np.arange(steps)[::-1] * (total // steps) + offset
    elif spacing == "trailing":
        times = np.round(np.arange(total, 0, -total / steps)) - 1
    else:  # linspace
        times = np.linspace(0, total - 1, steps).round()[::-1]
    return [int(min(t, total - 1)) for t in times]


def move(scheduler: Scheduler, prediction: Tensor, latents: Tensor, alpha: Tensor, alpha_to: Tensor) -> Tensor:
    """One DDIM step with eta 0 from noise level `alpha` to `alpha_to`, up or down (arXiv 2010.02502, eq. 12)."""
    alpha, alpha_to = alpha.to(latents.device), alpha_to.to(latents.device)
    eps, x0 = to_eps_x0(scheduler.config.prediction_type, prediction, latents, alpha)
    return alpha_to.sqrt() * x0 + (1 - alpha_to).sqrt() * eps


def finite(prediction: Tensor, doing: str, step: int, steps: int, t: int) -> Tensor:
    """The prediction as float32. Raises: UserError that names the step when it holds NaN or infinity."""
    prediction = prediction.float()
    if not torch.isfinite(prediction).all():
        raise UserError(
            f"{doing} broke at step {step} of {steps} (t={t}): the model returned NaN or infinity; "
            f"try gpu.dtype=float32, or other weights or settings"
        )
    return prediction
