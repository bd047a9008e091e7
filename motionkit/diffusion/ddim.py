"""DDIM: deterministic sampling on a diffusion schedule, the same in both directions (Song et al., arXiv 2010.02502)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from motionkit.backbones.noise_levels import Level, Scheduler, prediction_of
from motionkit.diffusion.schedule import Step, check_steps, grid_of, move, refuse_clipping


class DDIM:
    """Steps with eta 0 over the timesteps of a diffusers DDIMScheduler (spacing, steps_offset).

    Below the last step lies alpha_bar[0], or 1 with set_alpha_to_one. The level below t is its neighbour in the grid;
    diffusers takes t - 1000 // steps instead, which is the same number wherever the grid is regular.
    Raises: ValueError if the scheduler clips.

    Attributes:
        spacing: of the timesteps, in place of the scheduler's own: "leading" or "trailing"; "" for its own.
    """

    initial_scale = 1.0
    spacing: ClassVar[str] = ""

    def __init__(self, scheduler: Scheduler, generator: torch.Generator | None = None) -> None:
        refuse_clipping(scheduler)
        self.scheduler, self.kind = scheduler, prediction_of(scheduler)

    def grid(self, steps: int, start_t: float | None = None) -> list[Step]:
        """`steps` steps over the whole schedule, without those above `start_t`.

        Raises: UserError when steps is not in 1..num_train_timesteps or no step is left.
        """
        config = self.scheduler.config
        check_steps(steps, config.num_train_timesteps)
        spacing = self.spacing or config.timestep_spacing
        times = _timesteps(spacing, config.num_train_timesteps, steps, config.steps_offset)
        alphas = [self.scheduler.alphas_cumprod[t] for t in times] + [self.scheduler.final_alpha_cumprod]
        return grid_of(times, [Level.of(alpha) for alpha in alphas], start_t)

    def step(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the step's level brought to the one below."""
        return move(self.kind, prediction, latents, step.level, step.below)

    def back(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the level below brought up to the step's own."""
        return move(self.kind, prediction, latents, step.below, step.level)


class LeadingDDIM(DDIM):
    """DDIM with leading timestep spacing, as Stable Diffusion was published (arXiv 2305.08891)."""

    spacing = "leading"


class TrailingDDIM(DDIM):
    """DDIM with trailing timestep spacing, which starts at the last timestep (arXiv 2305.08891, section 3.3)."""

    spacing = "trailing"


def _timesteps(spacing: str, total: int, steps: int, offset: int) -> list[int]:
    times: Any
    if spacing == "leading":
        times = np.arange(steps)[::-1] * (total // steps) + offset
    elif spacing == "trailing":
        times = np.round(np.arange(total, 0, -total / steps)) - 1
    else:  # linspace
        times = np.linspace(0, total - 1, steps).round()[::-1]
    return [int(min(t, total - 1)) for t in times]
