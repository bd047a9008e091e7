"""Backward warping with sampling grids: one convention, x before y, -1 and +1 on the centres of the outer pixels."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional


def identity_grid(
    height: int, width: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """The grid (h, w, 2) that reads every pixel from its own place: x first, from -1 to 1 (align_corners=True)."""
    y = torch.linspace(-1, 1, height, device=device, dtype=dtype) if height > 1 else torch.zeros(1).to(device, dtype)
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype) if width > 1 else torch.zeros(1).to(device, dtype)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (h, w, 2)


def exact(x: Tensor) -> AbstractContextManager[object]:
    """No autocast on x's device: coordinates lose a third of a pixel in bfloat16 products."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def warp(x: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    """Read x (B, C, h, w) bilinearly at grid (B, H, W, 2), either of which may be one for all; returns (B, C, H, W).

    padding: "border" (clean latents and images), "zeros" (as FOMM does), "reflection".
    """
    batch = max(len(x), len(grid))
    x, grid = x.expand(batch, -1, -1, -1), grid.to(x.dtype).expand(batch, -1, -1, -1)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=True)


def resize_grid(grid: Tensor, height: int, width: int, by: str = "displacement") -> Tensor:
    """A grid (B, h, w, 2) at another size, bilinear.

    by="displacement" resizes grid - identity, so that the identity stays the identity; by="value" resizes the
    coordinates themselves, as FOMM does (which pulls the borders inwards).
    """
    if by not in ("displacement", "value"):
        raise ValueError(f"by must be displacement or value (got {by!r})")
    if by == "displacement":
        here = identity_grid(grid.shape[1], grid.shape[2], grid.device, grid.dtype)
        offset = resize_grid(grid - here, height, width, "value")
        return offset + identity_grid(height, width, grid.device, grid.dtype)
    planes = grid.movedim(-1, 1)  # (B, 2, h, w)
    planes = functional.interpolate(planes, (height, width), mode="bilinear", align_corners=False)
    return planes.movedim(1, -1)  # (B, H, W, 2)
