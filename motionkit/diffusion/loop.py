"""The denoising loop that every method calls, with its hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from motionkit.diffusion import preview
from motionkit.diffusion.guidance import NO_GUIDANCE, Guidance, Model
from motionkit.diffusion.samplers import Sampler
from motionkit.diffusion.schedule import OnStep, Step, finite

OnLatents = Callable[[Tensor, Step], Tensor]  # latents and a step -> the latents to continue with


@torch.no_grad()
def denoise(
    model: Model,
    sampler: Sampler,
    latents: Tensor,
    grid: Sequence[Step],
    guidance: Guidance = NO_GUIDANCE,
    *,
    before_step: OnLatents | None = None,
    after_step: OnLatents | None = None,
    progress: OnStep | None = None,
    doing: str = "sampling",
) -> Tensor:
    """Denoise latents (B, C, F, h, w) along a grid of steps; the state is float32.

    Args:
        latents: at the noise level of the grid's first step.
        grid: `sampler.grid(...)`, a part of it, or steps of the method's own.
        guidance: how the model is called, and its predictions mixed.
        before_step, after_step: change the latents at the step's level, and at the level below.
        progress: told after each step; may cancel. A `motionkit.context.Walk` may look at the latents, and change them.
        doing: the word for the loop in an error.

    Raises:
        UserError: names the step at which the model returned NaN or infinity.
    """
    x, look = latents.float(), getattr(progress, "latents", None)
    for done, step in enumerate(grid, 1):
        if before_step:
            x = before_step(x, step)
        prediction = finite(guidance(model, x, step), doing, done, len(grid), step.t)
        preview.tell(sampler, prediction, x, step)
        x = sampler.step(prediction, step, x)
        if after_step:
            x = after_step(x, step)
        if look:
            x = look(done, x, step.t)
        if progress:
            progress(done, len(grid))
    return x
