"""Inversion: the noise from which deterministic sampling returns a given latent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from motionkit.diffusion.guidance import Model
from motionkit.diffusion.samplers import Invertible
from motionkit.diffusion.schedule import OnStep, finite


@torch.no_grad()
def invert(
    model: Model,
    sampler: Invertible,
    latents: Tensor,
    steps: int,
    *,
    all: bool = False,
    stop_t: float | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Clean latents (any shape) to the noised latents at the grid's highest timestep, or at the highest <= stop_t.

    Walks the sampler's grid upwards: the step to t uses the latent of the step below and the prediction made from it
    at t, as diffusers' DDIMInverseScheduler does (arXiv 2010.02502, section 4.3). The state is float32. With `all` the
    result is (steps + 1, ...): the clean latents, then one entry per step. Sampling must use the same model and text,
    and guidance 1, or the way back differs.
    Raises: UserError naming the step at which the model returned NaN or infinity.
    """
    grid = sampler.grid(steps, stop_t)[::-1]
    x = latents.float()
    path = [x]
    for done, step in enumerate(grid, 1):
        prediction = finite(model(x, step, "cond"), "inversion", done, len(grid), step.t)
        x = sampler.back(prediction, step, x)
        if all:
            path.append(x)
        if progress:
            progress(done, len(grid))
    return torch.stack(path) if all else x


def __getattr__(name: str) -> Any:
    """Say where a name of version 0.1 has moved."""
    if name == "ddim_invert":
        raise ImportError("ddim_invert is in motionkit.diffusion.sampling; `invert` takes a model and a sampler")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
