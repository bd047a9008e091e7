"""Euler's method on the ordinary differential equation of flow matching (Lipman et al., arXiv 2210.02747)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from motionkit.backbones.noise_levels import FLOW, Level, Scheduler
from motionkit.diffusion.schedule import Step, check_steps, grid_of, move

_ELSE = ("use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas")


class FlowEuler:
    """Steps from sigma 1 to 0 as diffusers' FlowMatchEulerDiscreteScheduler takes them, its `shift` included.

    sigma is shifted to s sigma / (1 + (s - 1) sigma) (Esser et al., arXiv 2403.03206, eq. 23); the model's timestep is
    1000 sigma, not a whole number.
    Raises: ValueError for a scheduler that spaces sigma in another way or draws noise.
    """

    initial_scale = 1.0

    def __init__(self, scheduler: Scheduler, generator: torch.Generator | None = None) -> None:
        for name in (*_ELSE, "stochastic_sampling"):
            if scheduler.config.get(name):
                raise ValueError(f"flow-euler does not support {name}: build the scheduler without it")
        self.scheduler = scheduler

    def grid(self, steps: int, start_t: float | None = None) -> list[Step]:
        """`steps` steps over the whole schedule, without those above `start_t`.

        Raises: UserError when steps is not in 1..num_train_timesteps or no step is left.
        """
        total, shift = self.scheduler.config.num_train_timesteps, self.scheduler.config.shift
        check_steps(steps, total)
        even = np.linspace(float(self.scheduler.sigma_max), float(self.scheduler.sigma_min), steps)
        sigmas = torch.from_numpy(shift * even / (1 + (shift - 1) * even)).float()  # (steps,)
        ends = [*sigmas, torch.zeros(())]
        return grid_of((sigmas * total).tolist(), [Level(1 - sigma, sigma) for sigma in ends], start_t)

    def step(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the step's sigma brought to the one below."""
        return move(FLOW, prediction, latents, step.level, step.below)

    def back(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the sigma below brought up to the step's own."""
        return move(FLOW, prediction, latents, step.below, step.level)
