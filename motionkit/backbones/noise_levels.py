"""How much noise is in a latent at a timestep, and what a model's raw prediction says of noise and clean latents."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Scheduler = Any  # diffusers' DDIMScheduler, whose attributes carry no types


def alpha_at(scheduler: Scheduler, t: int | Tensor, like: Tensor) -> Tensor:
    """alpha_bar at t (int or (B,)), shaped to multiply `like` (B, ...)."""
    alpha = scheduler.alphas_cumprod.to(like.device)[torch.as_tensor(t, device=like.device)]
    return alpha.reshape(-1, *[1] * (like.ndim - 1))  # (B or 1, 1, ...)


def to_eps_x0(prediction_type: str, prediction: Tensor, latents: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Noise and clean latents that a raw prediction stands for, in x = sqrt(a) x0 + sqrt(1 - a) eps.

    v = sqrt(a) eps - sqrt(1 - a) x0 (Salimans and Ho 2022, arXiv 2202.00512).
    Raises: ValueError for another prediction type.
    """
    signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
    if prediction_type == "epsilon":
        return prediction, (latents - noise * prediction) / signal
    if prediction_type == "v_prediction":
        return signal * prediction + noise * latents, signal * latents - noise * prediction
    raise ValueError(f"prediction type {prediction_type!r}: motionkit knows epsilon and v_prediction")
