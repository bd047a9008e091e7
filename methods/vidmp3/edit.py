"""Inversion of the source video, and denoising with the edited prompt in its motion (VIDMP3 section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from motionkit.diffusion.inversion import ddim_invert
from motionkit.diffusion.sampling import guide
from motionkit.diffusion.schedule import finite, move, rungs

from .scene import Scene

OnStep = Callable[[int, int], None]


@torch.no_grad()
def invert(
    scene: Scene, latents: Tensor, text: Tensor, steps: int, start_t: int = 1000, progress: OnStep | None = None
) -> Tensor:
    """DDIM inversion with the tuned weights, guided, without classifier-free guidance.

    Args:
        latents: (F, 4, h, w).
        text: (1, L, C), of the source prompt.
        start_t: where the edit will begin; the inversion ends there.

    Returns:
        (1, 4, F, h, w), the noised latents at the highest of `steps` timesteps that is not above start_t.
    """
    scene.guide()
    clean = latents.transpose(0, 1)[None].to(scene.backbone.device)  # (1,4,F,h,w)
    return ddim_invert(
        lambda x, t: scene.denoise(x, t, text),
        scene.backbone.scheduler,
        clean,
        steps,
        stop_t=start_t,
        progress=progress,
    )


@dataclass(frozen=True)
class Source:
    """The clip that parts of the picture are kept from, clean and as noise, both (1, 4, F, h, w).

    At noise level a it is sqrt(a) clean + sqrt(1 - a) noise. With the noise that the inversion ended at this meets the
    inverted path at both its ends, and is near it between; only the end has to be kept on disk.
    """

    clean: Tensor
    noise: Tensor

    @classmethod
    def of(cls, clean: Tensor, inverted: Tensor, alpha: Tensor) -> Source:
        """From the clean and the inverted latents, which are at noise level `alpha`."""
        return cls(clean, (inverted - alpha.sqrt() * clean) / (1 - alpha).sqrt())

    def at(self, alpha: Tensor) -> Tensor:
        """The source at a noise level."""
        return alpha.sqrt() * self.clean + (1 - alpha).sqrt() * self.noise


@dataclass(frozen=True)
class Keep:
    """Which part of the picture stays as the source has it.

    Attributes:
        source: what is kept.
        free: (1, 1, F, h, w) in [0, 1], 1 where the edit is free.
        until: share of the steps, from the first, after which all is free; 1 keeps it to the end exactly.
    """

    source: Source
    free: Tensor
    until: float = 1.0

    def lay(self, x: Tensor, alpha: Tensor) -> Tensor:
        """The edit at noise level alpha with the kept part laid over it."""
        return self.free * x + (1 - self.free) * self.source.at(alpha)


@dataclass(frozen=True)
class Asked:
    """What the edit is asked for.

    Attributes:
        text, negative: (1, L, C).
        strength: factor on lambda.
        scale, rescale: classifier-free guidance, and its rescale.
        batched: both of its passes in one call.
        start_t: timesteps above are left out.
    """

    text: Tensor
    negative: Tensor
    strength: float = 1.0
    scale: float = 7.5
    rescale: float = 0.0
    batched: bool = False
    start_t: int = 1000


@torch.no_grad()
def denoise(
    scene: Scene, start: Tensor, asked: Asked, steps: int, keep: Keep | None = None, progress: OnStep | None = None
) -> Tensor:
    """Noised latents (1, 4, F, h, w) to clean ones of the edited video; phi counts with and without the prompt alike.

    Raises:
        UserError: the model returned NaN or infinity.
    """
    scene.guide(asked.strength)
    scheduler = scene.backbone.scheduler
    grid = rungs(scheduler, steps, asked.start_t)
    x = start.float()
    if keep:
        x = keep.lay(x, grid[0].alpha.to(x.device))
    for i, rung in enumerate(grid):
        prediction = finite(_predict(scene, asked, x, rung.t), "editing", i + 1, len(grid), rung.t)
        x = move(scheduler, prediction, x, rung.alpha, rung.alpha_below)
        if keep and i < keep.until * len(grid):
            x = keep.lay(x, rung.alpha_below.to(x.device))
        if progress:
            progress(i + 1, len(grid))
    if keep and keep.until >= 1:
        x = keep.free * x + (1 - keep.free) * keep.source.clean  # without the last rung's rest of noise
    return x


def _predict(scene: Scene, asked: Asked, x: Tensor, t: Any) -> Tensor:
    if asked.scale == 1:
        return scene.denoise(x, t, asked.text)
    if asked.batched:
        both = scene.denoise(torch.cat([x, x]), t, torch.cat([asked.negative, asked.text]))
        uncond, cond = both.chunk(2)
    else:
        uncond, cond = scene.denoise(x, t, asked.negative), scene.denoise(x, t, asked.text)
    return guide(uncond, cond, asked.scale, asked.rescale)
