"""Inversion of the source video, and denoising with the edited prompt in its motion (VIDMP3 section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from motionkit.backbones.noise_levels import Level
from motionkit.diffusion import inversion, loop
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.samplers import Invertible, Sampler
from motionkit.diffusion.schedule import OnStep, Step

from .guided_unet import GuidedUNet


@torch.no_grad()
def invert(
    guided: GuidedUNet,
    sampler: Invertible,
    latents: Tensor,
    text: Tensor,
    steps: int,
    start_t: int = 1000,
    progress: OnStep | None = None,
) -> Tensor:
    """Inversion with the tuned weights, guided, without classifier-free guidance.

    Args:
        latents: (F, C, h, w).
        text: (1, L, C), of the source prompt.
        start_t: where the edit will begin; the inversion ends there.

    Returns:
        (1, C, F, h, w), the noised latents at the highest of `steps` timesteps that is not above start_t.
    """
    guided.guide()
    clean = rearrange(latents, "f c h w -> 1 c f h w").to(guided.backbone.device)
    model = text_model(guided.denoise, text)
    return inversion.invert(model, sampler, clean, steps, stop_t=start_t, progress=progress)


@dataclass(frozen=True)
class Source:
    """The source clip from which parts are kept, clean and as noise, both (1, C, F, h, w).

    At each noise level it is a mix of both. With the noise at the end of the inversion this matches the inverted path
    at both ends and approximates it between them, so only the end is stored on disk.
    """

    clean: Tensor
    noise: Tensor

    @classmethod
    def of(cls, clean: Tensor, inverted: Tensor, level: Level) -> Source:
        """From the clean and the inverted latents, which are at noise level `level`."""
        return cls(clean, (inverted - level.signal * clean) / level.noise)

    def at(self, level: Level) -> Tensor:
        """The source at a noise level."""
        return level.mix(self.clean, self.noise)


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

    def lay(self, x: Tensor, level: Level) -> Tensor:
        """The edit at a noise level with the kept part laid over it."""
        return self.free * x + (1 - self.free) * self.source.at(level.to(x.device))


@dataclass(frozen=True)
class Asked:
    """The settings of an edit.

    Attributes:
        text, negative: (1, L, C).
        guidance: classifier-free guidance.
        strength: factor on lambda.
        start_t: timesteps above are left out.
    """

    text: Tensor
    negative: Tensor
    guidance: Guidance = Guidance(7.5)
    strength: float = 1.0
    start_t: int = 1000


@torch.no_grad()
def denoise(
    guided: GuidedUNet,
    sampler: Sampler,
    start: Tensor,
    asked: Asked,
    steps: int,
    keep: Keep | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Noised latents (1, C, F, h, w) to clean ones of the edited video; phi counts with and without the prompt alike.

    Raises:
        UserError: the model returned NaN or infinity.
    """
    guided.guide(asked.strength)
    grid = sampler.grid(steps, asked.start_t)
    x = start.float()

    def lay(x: Tensor, step: Step) -> Tensor:
        return keep.lay(x, step.below) if keep and step.index < keep.until * len(grid) else x

    x = loop.denoise(
        text_model(guided.denoise, asked.text, asked.negative),
        sampler,
        keep.lay(x, grid[0].level) if keep else x,
        grid,
        asked.guidance,
        after_step=lay,
        progress=progress,
        doing="editing",
    )
    if keep and keep.until >= 1:
        x = keep.free * x + (1 - keep.free) * keep.source.clean  # without the last step's rest of noise
    return x
