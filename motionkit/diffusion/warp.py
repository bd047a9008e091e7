"""Backward warping with grids that put -1 and +1 on the centres of the border pixels (align_corners=True)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def identity_grid(height: int, width: int) -> Tensor:
    """The grid (h, w, 2) that reads every pixel from its own place, x first, in [-1, 1]."""
    y, x = torch.meshgrid(_axis(height), _axis(width), indexing="ij")
    return torch.stack([x, y], -1)


def _axis(size: int) -> Tensor:
    return 2 * torch.arange(size, dtype=torch.float32) / max(size - 1, 1) - 1


def resize_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Bring grids (B, H, W, 2) to another size, bilinear without aligned corners, as the reference code does."""
    if grid.shape[1:3] == (height, width):
        return grid
    planes = F.interpolate(grid.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=False)
    return planes.permute(0, 2, 3, 1)  # (B,h,w,2)


def warp(x: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    """Read x (B, C, h, w) at the places that grid (B, H, W, 2) names, bilinear.

    Args:
        x: one sample, or as many as there are grids.
        grid: absolute coordinates in [-1, 1], x first; resized to x when the sizes differ.
        padding: "border", "zeros" or "reflection", for places outside.
    """
    grid = resize_grid(grid, *x.shape[-2:]).to(x.dtype)
    return F.grid_sample(x.expand(len(grid), -1, -1, -1), grid, padding_mode=padding, align_corners=True)
