"""The steps from noise to image that samplers and loops share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from motionkit.backbones.noise_levels import Level, Scheduler, to_eps_x0
from motionkit.errors import UserError

OnStep = Callable[[int, int], None]  # (steps done, steps in all)


@dataclass(frozen=True)
class Step:
    """One step of a grid: its place in it, the model's timestep, the noise level there, and the one that it ends at."""

    index: int
    t: float
    level: Level
    below: Level


def grid_of(times: Iterable[float], levels: list[Level], start_t: float | None = None) -> list[Step]:
    """Steps at `times`, noise first, without those above `start_t`; `levels` has one entry more, what lies below.

    Raises: UserError when no step is left.
    """
    every = list(zip(times, levels, levels[1:], strict=False))
    kept = [step for step in every if start_t is None or step[0] <= start_t]
    if not kept:
        raise UserError(
            f"start_t={start_t} is below the last of {len(every)} steps (t={every[-1][0]:g}), so no step is left: "
            f"raise it"
        )
    return [Step(i, *step) for i, step in enumerate(kept)]


def check_steps(steps: int, most: int) -> None:
    """Raises: UserError when `steps` is not in 1..most."""
    if not 1 <= steps <= most:
        raise UserError(f"steps must be between 1 and {most}, not {steps}")


def whole(t: float) -> float:
    """A timestep as an int if it is whole, so that it can index a schedule, as in `alphas_cumprod[t]`."""
    return int(t) if float(t).is_integer() else t


def refuse_clipping(scheduler: Scheduler) -> None:
    """Raises: ValueError for a scheduler that clips its predictions, as those for pixels do."""
    if scheduler.config.get("clip_sample") or scheduler.config.get("thresholding"):
        raise ValueError(
            "latents must not be clipped: build the scheduler with clip_sample=False and thresholding=False"
        )


def move(kind: str, prediction: Tensor, latents: Tensor, level: Level, to: Level) -> Tensor:
    """Latents at one noise level brought to another, up or down, along the noise and image of one raw prediction.

    This is DDIM's step with eta 0 (arXiv 2010.02502, eq. 12), and Euler's step where the prediction is a flow's.
    """
    level, to = level.to(latents.device), to.to(latents.device)
    eps, x0 = to_eps_x0(kind, prediction, latents, level)
    return to.mix(x0, eps)


def finite(prediction: Tensor, doing: str, step: int, steps: int, t: float) -> Tensor:
    """The prediction as float32. Raises: UserError that names the step when it holds NaN or infinity."""
    prediction = prediction.float()
    if not torch.isfinite(prediction).all():
        raise UserError(
            f"{doing} failed at step {step} of {steps} (t={t:g}): the model returned NaN or infinity; "
            f"try gpu.dtype=float32, or other weights or settings"
        )
    return prediction


def __getattr__(name: str) -> Any:
    """Say what replaces a name of version 0.1."""
    if name in ("rungs", "Rung"):
        raise ImportError(f"{name} was removed: `motionkit.diffusion.ddim.DDIM(scheduler).grid(steps)` has the steps")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
