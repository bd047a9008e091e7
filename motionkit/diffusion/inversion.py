"""DDIM inversion: the noise from which deterministic sampling returns a given latent."""

from __future__ import annotations

import torch
from torch import Tensor

from motionkit.diffusion.schedule import OnStep, Predict, Scheduler, finite, move, rungs


@torch.no_grad()
def ddim_invert(
    predict: Predict,
    scheduler: Scheduler,
    latents: Tensor,
    steps: int,
    *,
    all: bool = False,
    stop_t: int | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Clean latents (any shape) to the noised latents at the grid's highest timestep, or at the highest <= stop_t.

    Walks `rungs` upwards with eta 0: the step to t uses the latent of the rung below and the prediction made from it
    at t, as diffusers' DDIMInverseScheduler does (arXiv 2010.02502, section 4.3). The state is float32. With `all` the
    result is (steps + 1, ...): the clean latents, then one entry per step. Sampling must use the same model and text,
    and guidance 1, or the way back differs.
    Raises: UserError naming the step at which the model returned NaN or infinity.
    """
    grid = rungs(scheduler, steps, stop_t)[::-1]
    x = latents.float()
    path = [x]
    for i, rung in enumerate(grid):
        prediction = finite(predict(x, rung.t), "inversion", i + 1, len(grid), rung.t)
        x = move(scheduler, prediction, x, rung.alpha_below, rung.alpha)
        if all:
            path.append(x)
        if progress:
            progress(i + 1, len(grid))
    return torch.stack(path) if all else x
