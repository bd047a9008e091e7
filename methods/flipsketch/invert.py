"""The sketch as latents, and the noise from which the model reproduces it (FlipSketch section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from motionkit.diffusion import inversion
from motionkit.diffusion.guidance import Model
from motionkit.diffusion.samplers import Invertible
from motionkit.diffusion.schedule import OnStep

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

    from .config import InvertConfig

_POSTERIOR_SEED = 0  # of the autoencoder's samples: the inverted noise depends on the sketch and not on the run's seed


def sketch_latents(backbone: VideoBackbone, drawing: np.ndarray, config: InvertConfig) -> Tensor:
    """A drawing (H, W, 3) uint8, black on white, as a still clip of latents (1, C, copies, h, w).

    With input_range=unit the autoencoder sees white as 1 and black as 0, the middle of its range, as the authors' code
    feeds it; with sample=posterior each copy is another sample of the autoencoder's posterior.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(drawing)).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    if config.input_range == "unit":
        pixels = pixels / 2 + 0.5  # `encode` maps [0, 1] to [-1, 1]
    copies = config.copies
    if config.sample == "mean":
        latents = backbone.encode(pixels).expand(copies, -1, -1, -1)
    else:
        generator = torch.Generator().manual_seed(_POSTERIOR_SEED)
        latents = backbone.encode(pixels.expand(copies, -1, -1, -1), generator=generator)
    return rearrange(latents, "copies c h w -> 1 c copies h w")


def invert(model: Model, sampler: Invertible, latents: Tensor, steps: int, progress: OnStep | None = None) -> Tensor:
    """DDIM inversion of a still clip (1, C, copies, h, w), with the mean of the copies at each step.

    `model` is the one without a text. The authors' code runs it twice and combines two equal passes; once is the same.

    Returns:
        (steps + 1, 1, C, 1, h, w): the noise x_T^r, then what is below each step, at last the sketch's own latents.
    """
    up = inversion.invert(
        model, sampler, latents, steps, all=True, progress=progress
    )  # (steps + 1, 1, C, copies, h, w)
    return up.mean(3, keepdim=True).flip(0)  # (steps + 1, 1, C, 1, h, w)
