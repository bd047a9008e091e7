"""DDIM sampling, and guidance as wrappers around a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from motionkit.diffusion.schedule import OnStep, Predict, Scheduler, finite, move, rungs

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone


@torch.no_grad()
def ddim_sample(
    predict: Predict,
    scheduler: Scheduler,
    latents: Tensor,
    steps: int,
    *,
    start_t: int | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Noised latents (any shape) to clean ones with eta 0 (arXiv 2010.02502); the state is float32.

    `start_t` (a timestep, 0..999) starts part of the way: the first rung is the highest one <= start_t, and `latents`
    must have that rung's noise level (`rungs(scheduler, steps, start_t)[0].t`).
    Raises: UserError naming the step at which the model returned NaN or infinity.
    """
    grid = rungs(scheduler, steps, start_t)
    x = latents.float()
    for i, rung in enumerate(grid):
        prediction = finite(predict(x, rung.t), "sampling", i + 1, len(grid), rung.t)
        x = move(scheduler, prediction, x, rung.alpha, rung.alpha_below)
        if progress:
            progress(i + 1, len(grid))
    return x


def guided(
    predict_uncond_cond: Callable[[Tensor, int], tuple[Tensor, Tensor]], scale: float, rescale: float = 0.0
) -> Predict:
    """Classifier-free guidance over a function that returns the unconditional and the conditional prediction."""

    def predict(latents: Tensor, t: int) -> Tensor:
        return guide(*predict_uncond_cond(latents, t), scale, rescale)

    return predict


def guide(uncond: Tensor, cond: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """uncond + scale (cond - uncond) (arXiv 2207.12598), per sample (B, ...).

    `rescale` in [0, 1] pulls its standard deviation towards that of `cond`, against washed-out or burnt tones
    (arXiv 2305.08891, section 3.4).
    """
    out = uncond + scale * (cond - uncond)
    if rescale == 0:
        return out
    dims = tuple(range(1, out.ndim))
    return out * (rescale * cond.std(dims, keepdim=True) / out.std(dims, keepdim=True) + 1 - rescale)


def text_predictor(
    backbone: VideoBackbone,
    text: Tensor,
    negative: Tensor | None = None,
    scale: float = 1.0,
    rescale: float = 0.0,
    **arguments: Any,
) -> Predict:
    """The prediction of `backbone.denoise` for text (B, L, C), guided against `negative` (B, L, C) when scale is not 1.

    Both halves go through the model in one batch. `arguments` (a tuned `unet`, ...) go to `denoise`.
    Raises: ValueError when guidance is asked for without `negative`.
    """
    if scale == 1:
        return lambda latents, t: backbone.denoise(latents, t, text, **arguments)
    if negative is None:
        raise ValueError("guidance needs the text states of the negative prompt")
    both = torch.cat([negative, text])

    def pair(latents: Tensor, t: int) -> tuple[Tensor, Tensor]:
        uncond, cond = backbone.denoise(torch.cat([latents, latents]), t, both, **arguments).chunk(2)
        return uncond, cond

    return guided(pair, scale, rescale)
