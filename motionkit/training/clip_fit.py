"""The per-clip fit: Adam on a few weights of a network for one clip, with saved states from which a killed fit resumes.

Every draw of a step must depend on the step's number alone, so that a resumed fit ends as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training.loss_scale import LossScale

if TYPE_CHECKING:
    from motionkit.context import Checkpoint, RunContext
    from motionkit.transfer import Tensors

Backward = Callable[[int, float], Sequence[float]]
OnStep = Callable[[int, Sequence[float]], None]


@dataclass(frozen=True)
class FitSettings:
    """The length of a fit and how its state is saved.

    Attributes:
        steps: total number.
        save_every: steps between states.
        max_grad: norm to which the gradients are clipped.
        stage: name under which its progress is shown.
        rate: what to lower when the fit breaks, as `key=value`.
    """

    steps: int
    save_every: int
    max_grad: float
    stage: str
    rate: str


def fit(
    weights: Mapping[str, nn.Parameter],
    adam: torch.optim.Adam,
    backward: Backward,
    settings: FitSettings,
    run: RunContext,
    checkpoint: Checkpoint,
    scale: LossScale,
    on_step: OnStep | None = None,
) -> None:
    """Minimise a loss with Adam; steps whose gradients overflow in float16 are skipped.

    Args:
        weights: what is tuned, by the names under which the state is kept; on their device already.
        adam: with all of these weights.
        backward: given a step and the factor of its loss, adds up the gradients of loss times factor, and returns the
            losses without it.
        on_step: called with each step and its losses.

    Raises:
        UserError: a loss is NaN or infinite, or a gradient is and there is no smaller factor to try.
        Cancelled: the run should stop.
    """
    total = settings.steps
    for step in range(_restore(checkpoint.load(), weights, adam, scale), total):
        run.progress.tick(settings.stage, step, total)
        losses = backward(step, scale.value)
        if not all(map(math.isfinite, losses)) or not _update(weights, adam, scale, settings.max_grad):
            raise UserError(f"fine-tuning diverged at step {step} of {total} (NaN or infinity): lower {settings.rate}")
        if (step + 1) % settings.save_every == 0 or step + 1 == total:
            checkpoint.save(_state(step + 1, weights, adam, scale))
        if on_step:
            on_step(step, losses)
    if total:
        run.progress.tick(settings.stage, total, total)


def _update(weights: Mapping[str, nn.Parameter], adam: torch.optim.Adam, scale: LossScale, max_grad: float) -> bool:
    """One step of Adam, skipped when gradients are not finite; False when the fit cannot continue."""
    scale.unscale(weights.values())
    finite = bool(torch.isfinite(nn.utils.clip_grad_norm_(weights.values(), max_grad)))
    if finite:
        adam.step()
    adam.zero_grad(set_to_none=True)
    return scale.update(finite)


def _state(step: int, weights: Mapping[str, nn.Parameter], adam: torch.optim.Adam, scale: LossScale) -> Tensors:
    """Weights (p), Adam's moments (m, v) and its number of steps (n); the latter three only after a first gradient."""
    state = {"step": torch.tensor(step)}
    if scale.dynamic:
        state["scale"] = scale.state()
    for name, weight in weights.items():
        state[f"p.{name}"] = weight
        if moments := adam.state.get(weight):
            state |= {f"m.{name}": moments["exp_avg"], f"v.{name}": moments["exp_avg_sq"]}
            state[f"n.{name}"] = torch.as_tensor(moments["step"])
    return state


def _restore(
    state: Tensors | None, weights: Mapping[str, nn.Parameter], adam: torch.optim.Adam, scale: LossScale
) -> int:
    """Restore a state; returns the step to continue with. States saved before 0.2 may lack n and the scale."""
    if state is None:
        return 0
    if "scale" in state:
        scale.restore(state["scale"])
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(state[f"p.{name}"])
            if f"m.{name}" in state:
                adam.state[weight] = {
                    "step": state.get(f"n.{name}", state["step"]).float(),
                    "exp_avg": state[f"m.{name}"].to(weight.device),
                    "exp_avg_sq": state[f"v.{name}"].to(weight.device),
                }
    return int(state["step"])
