"""Samplers that take diffusers' own steps, which keep state or draw noise: DPM-Solver++, UniPC, LCM and TCD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import diffusers
import torch
from torch import Tensor

from motionkit.backbones.noise_levels import Level, Scheduler, prediction_of
from motionkit.diffusion.euler import level_of
from motionkit.diffusion.schedule import Step, check_steps, grid_of, refuse_clipping, whole
from motionkit.errors import UserError


class Solver:
    """One of diffusers' schedulers over the noise schedule of a model; a walk begins anew at the first step of a grid.

    Timesteps are spaced as the model's schedule says where the scheduler has a choice. These cannot be inverted.
    Raises: ValueError if the scheduler clips.

    Attributes:
        theirs: the scheduler's class in diffusers.  options: what is set in it besides the model's schedule.
    """

    initial_scale = 1.0
    theirs: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, scheduler: Scheduler, generator: torch.Generator | None = None) -> None:
        refuse_clipping(scheduler)
        self.scheduler, self.kind = scheduler, prediction_of(scheduler)
        self._generator = generator or torch.Generator().manual_seed(0)
        self._solver: Any = getattr(diffusers, self.theirs).from_config(scheduler.config, **self.options)
        self._grid: list[Step] = []
        self._steps = self._begin = 0

    def grid(self, steps: int, start_t: float | None = None) -> list[Step]:
        """`steps` steps over the whole schedule, without those above `start_t`; a walk is over the grid made last.

        Raises: UserError for a number of steps that the scheduler cannot space, or when no step is left.
        """
        check_steps(steps, self._most())
        self._solver.set_timesteps(steps)
        times = [whole(t) for t in self._solver.timesteps.tolist()]
        if len(set(times)) < steps:
            raise UserError(f"{steps} steps are too many for this sampler, as some timesteps would repeat: give fewer")
        if len(times) > steps:  # rounding gives one more, at t = -1
            raise UserError(f"this sampler cannot space {steps} steps over this schedule: give one step fewer or more")
        self._grid = grid_of(times, self._levels(times), start_t)
        self._steps, self._begin = steps, steps - len(self._grid)
        return self._grid

    def step(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the step's level brought to the one below.

        Raises: ValueError for a step that does not follow the previous one.
        """
        solver = self._solver
        if step.index == 0:
            solver.set_timesteps(self._steps)
            solver.set_begin_index(self._begin)
        due = self._begin if solver.step_index is None else solver.step_index
        if not 0 <= due - self._begin < len(self._grid) or self._grid[due - self._begin] is not step:
            raise ValueError(f"{type(self).__name__} must be given the steps of its latest grid in order")
        return self._walk(prediction, solver.timesteps[due], latents)

    def _walk(self, prediction: Tensor, t: Tensor, latents: Tensor) -> Tensor:
        return self._solver.step(prediction, t, latents).prev_sample

    def _most(self) -> int:
        return int(self.scheduler.config.num_train_timesteps)

    def _levels(self, times: list[float]) -> list[Level]:
        """The noise level of each step, and the one below the last."""
        return [level_of(sigma) for sigma in self._solver.sigmas]


class DPMSolver(Solver):
    """DPM-Solver++ 2M: second order from the step before (Lu et al., arXiv 2211.01095, algorithm 2)."""

    theirs = "DPMSolverMultistepScheduler"
    options: ClassVar[Mapping[str, Any]] = {"algorithm_type": "dpmsolver++", "solver_order": 2}


class EvenDPMSolver(DPMSolver):
    """DPM-Solver++ 2M whose steps are even in the log of signal over noise (Lu et al., arXiv 2206.00927, section 4.1).

    The formula takes the model's output to change evenly in that; steps even in time leave most of the change, and of
    the error, to the last few, and the very last is of first order.
    """

    options: ClassVar[Mapping[str, Any]] = {**DPMSolver.options, "use_lu_lambdas": True}


class UniPC(Solver):
    """UniPC of order 2 with B2(h): a corrector that costs no call of the model (Zhao et al., arXiv 2302.04867)."""

    theirs = "UniPCMultistepScheduler"
    options: ClassVar[Mapping[str, Any]] = {"solver_order": 2, "solver_type": "bh2"}


class LCM(Solver):
    """Consistency sampling (Luo et al., arXiv 2310.04378): to clean latents, and noised anew, step by step."""

    theirs = "LCMScheduler"

    def _walk(self, prediction: Tensor, t: Tensor, latents: Tensor) -> Tensor:
        return self._solver.step(prediction, t, latents, generator=self._generator).prev_sample

    def _most(self) -> int:
        return int(self._solver.config.original_inference_steps)  # the timesteps that the weights were distilled at

    def _levels(self, times: list[float]) -> list[Level]:
        alphas = self._solver.alphas_cumprod
        return [Level.of(alpha) for alpha in (*alphas[torch.tensor(times)], self._end())]

    def _end(self) -> Tensor:
        """alpha_bar below the last step."""
        return torch.ones(())


class TCD(LCM):
    """Trajectory consistency sampling with gamma .3 (Zheng et al., arXiv 2402.19159, algorithm 4)."""

    theirs = "TCDScheduler"

    def _end(self) -> Tensor:
        return self._solver.alphas_cumprod[0]
