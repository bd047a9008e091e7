"""Euler's method on a diffusion schedule, at the noise levels of diffusers' EulerDiscreteScheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from motionkit.backbones.noise_levels import Level, Scheduler, prediction_of
from motionkit.diffusion.schedule import Step, check_steps, grid_of, move, refuse_clipping, whole


class Euler:
    """Steps over sigma = noise / signal (Karras et al., arXiv 2206.00364, algorithm 2 without churn), the last to 0.

    In the model's own scale one is DDIM's step; timesteps and levels are diffusers', with `timestep_spacing` of the
    model's schedule and the tiny signal that it leaves where the terminal signal-to-noise ratio is zero.
    Raises: ValueError if the scheduler clips.
    """

    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, scheduler: Scheduler, generator: torch.Generator | None = None) -> None:
        refuse_clipping(scheduler)
        self.scheduler, self.kind = scheduler, prediction_of(scheduler)
        self._theirs = EulerDiscreteScheduler.from_config(scheduler.config, **self.options)
        full = float(level_of(self._theirs.sigmas.max()).noise)
        self.initial_scale = 1.0 if self._theirs.config.timestep_spacing == "leading" else full

    def grid(self, steps: int, start_t: float | None = None) -> list[Step]:
        """`steps` steps over the whole schedule, without those above `start_t`.

        Raises: UserError when steps is not in 1..num_train_timesteps or no step is left.
        """
        check_steps(steps, self.scheduler.config.num_train_timesteps)
        self._theirs.set_timesteps(steps)
        times = [whole(t) for t in self._theirs.timesteps.tolist()]
        return grid_of(times, [level_of(sigma) for sigma in self._theirs.sigmas], start_t)

    def step(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the step's level brought to the one below."""
        return move(self.kind, prediction, latents, step.level, step.below)

    def back(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the level below brought up to the step's own."""
        return move(self.kind, prediction, latents, step.below, step.level)


class TrailingEuler(Euler):
    """Euler with trailing timestep spacing, for which Lightning weights are distilled (arXiv 2402.13929)."""

    options: ClassVar[Mapping[str, Any]] = {"timestep_spacing": "trailing"}


def level_of(sigma: Tensor) -> Level:
    """The level at which noise / signal is `sigma`, in the model's own scale (signal^2 + noise^2 = 1)."""
    signal = 1 / (sigma**2 + 1).sqrt()
    return Level(signal, sigma * signal)
