"""How much noise is in a latent at a timestep, and what a model's raw prediction says of noise and clean latents.

Noised latents are x = signal x0 + noise eps. On a diffusion schedule signal^2 is alpha_bar and noise^2 = 1 - alpha_bar
(DDPM, arXiv 2006.11239, eq. 4); in flow matching noise is sigma and signal = 1 - sigma (arXiv 2210.02747, section 4.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

EPSILON, V, FLOW = "epsilon", "v_prediction", "flow_prediction"
Scheduler = Any  # diffusers' DDIMScheduler or FlowMatchEulerDiscreteScheduler, whose attributes carry no types


class Level(NamedTuple):
    """The two factors of x = signal x0 + noise eps, shaped to multiply latents."""

    signal: Tensor
    noise: Tensor

    @classmethod
    def of(cls, alpha: Tensor) -> Level:
        """The level at which alpha_bar is `alpha`."""
        return cls(alpha.sqrt(), (1 - alpha).sqrt())

    def to(self, device: torch.device | str) -> Level:
        """The same on a device."""
        return Level(self.signal.to(device), self.noise.to(device))

    def mix(self, clean: Tensor, noise: Tensor) -> Tensor:
        """Clean latents noised to this level."""
        return self.signal * clean + self.noise * noise


def prediction_of(scheduler: Scheduler) -> str:
    """What the model of a noise schedule predicts: EPSILON, V or FLOW (the velocity eps - x0).

    Raises: ValueError for a schedule of another kind.
    """
    config = scheduler.config
    kind = config.get("prediction_type", FLOW if "shift" in config else None)  # diffusers' flow schedules have no type
    if kind not in (EPSILON, V, FLOW):
        raise ValueError(f"the prediction type must be {EPSILON}, {V} or {FLOW} (got {kind!r})")
    return kind


def alpha_at(scheduler: Scheduler, t: int | Tensor, like: Tensor) -> Tensor:
    """alpha_bar at t (int or (B,)), shaped to multiply `like` (B, ...)."""
    alpha = scheduler.alphas_cumprod.to(like.device)[torch.as_tensor(t, device=like.device)]
    return alpha.reshape(-1, *[1] * (like.ndim - 1))  # (B or 1, 1, ...)


def level_at(scheduler: Scheduler, t: float | Tensor, like: Tensor) -> Level:
    """The noise level at t (a number or (B,)), shaped to multiply `like` (B, ...)."""
    if prediction_of(scheduler) != FLOW:
        return Level.of(alpha_at(scheduler, t, like))  # type: ignore[arg-type]
    times = torch.as_tensor(t, device=like.device, dtype=torch.float32)
    sigma = (times / scheduler.config.num_train_timesteps).reshape(-1, *[1] * (like.ndim - 1))  # (B or 1, 1, ...)
    return Level(1 - sigma, sigma)


def to_eps_x0(kind: str, prediction: Tensor, latents: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    """Noise and clean latents that a raw prediction of that kind stands for.

    v = signal eps - noise x0 (Salimans and Ho 2022, arXiv 2202.00512); the flow's velocity is eps - x0.
    Raises: ValueError for another kind.
    """
    signal, noise = level
    if kind == EPSILON:
        return prediction, (latents - noise * prediction) / signal
    if kind == V:
        return signal * prediction + noise * latents, signal * latents - noise * prediction
    if kind == FLOW:
        return latents + signal * prediction, latents - noise * prediction
    raise ValueError(f"the prediction type must be {EPSILON}, {V} or {FLOW} (got {kind!r})")


def target_of(kind: str, clean: Tensor, noise: Tensor, level: Level) -> Tensor:
    """What a model of that kind should predict for `level.mix(clean, noise)`: the inverse of `to_eps_x0`."""
    if kind == EPSILON:
        return noise
    return level.signal * noise - level.noise * clean if kind == V else noise - clean
