"""Variations of a single source image, so that tuning does not memorise its pose."""

from __future__ import annotations

import torch
from torch import Tensor

from motionkit.diffusion.warp import warp

from .equivariance import Deformation


def variations(frame: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The image itself, then flips, crops of at least 85 % and slight deformations of it.

    Args:
        frame: (3, H, W) in [0, 1].

    Returns:
        (count, 3, H, W).
    """
    height, width = frame.shape[-2:]
    bend = Deformation.random(count, generator, sigma_affine=0.03, sigma_tps=0.005)
    zoom = 0.85 + 0.15 * torch.rand(count, 1, 1, 1, generator=generator)
    shift = (torch.rand(count, 1, 1, 2, generator=generator) * 2 - 1) * (1 - zoom)
    flip = torch.where(torch.rand(count, 1, 1, generator=generator) < 0.5, -1.0, 1.0)
    grid = bend.grid(height, width) * zoom + shift  # (N,H,W,2)
    grid[..., 0] *= flip
    moved = warp(frame.expand(count, -1, -1, -1), grid, padding="border")
    moved[0] = frame
    return moved
