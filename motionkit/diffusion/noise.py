"""Noise that moves with its content: warping a noise field without losing its statistics."""

from __future__ import annotations

import torch
from torch import Tensor

MODES = ("restore", "nearest", "renorm", "bilinear")
_SNAP = 1e-3  # pixels: closer to a pixel centre than this counts as on it, where 1 - v is rounding noise


def warp_noise(
    noise: Tensor,
    grid: Tensor,
    mode: str = "restore",
    generator: torch.Generator | None = None,
    *,
    diversity: float = 0.0,
) -> Tensor:
    """Warp white noise (F or 1, C, h, w) by backward grids (F, h, w, 2); returns (F, C, h, w).

    With y the bilinear read, w its four weights (0 outside the picture) and v = sum w^2, the variance of y is v, so
    plain warping weakens the noise (0.667 of the standard deviation for a generic flow). Modes:
        restore: y + sqrt(1 - v) n: unit variance at every pixel, and y itself where the flow is the identity.
        nearest: the nearest value: values and variance stay; moves by whole pixels, repeats values where it expands.
        renorm: y / sqrt(v): unit variance, neighbours as correlated as in y.
        bilinear: y, the literal reading of "warp the latent"; loses variance.
    n is one fresh field, itself moved by the nearest read, so that it does not flicker. Where nothing can be read (the
    grid points outside) the result is fresh noise, the same in every frame. `diversity` e in [0, 1] then mixes in
    sqrt(1 - e^2) y + e n2, with n2 shared by all frames.
    Raises: ValueError for another mode or diversity; generator is needed: the global one is never used.
    """
    if mode not in MODES or not 0 <= diversity <= 1:
        raise ValueError(f"mode must be {' or '.join(MODES)} (got {mode!r}), diversity in [0, 1] (got {diversity})")
    if generator is None:
        raise ValueError("warp_noise needs a generator")
    if grid.shape[1:3] != noise.shape[-2:]:
        raise ValueError(f"the grid has size {tuple(grid.shape[1:3])}, the noise {tuple(noise.shape[-2:])}")
    noise = noise.expand(len(grid), -1, -1, -1)
    shape = (1, *noise.shape[1:])
    fresh, outside, extra = (_randn(shape, generator, noise) for _ in range(3))
    position = _position(grid)
    still_outside = outside.expand_as(noise)
    if mode == "nearest":
        read, seen = _nearest(noise, position)
        result = torch.where(seen, read, still_outside)
    else:
        y, v = _bilinear(noise, position)
        moved, seen = _nearest(fresh.expand_as(noise), position)
        n = torch.where(seen, moved, still_outside)
        if mode == "restore":
            result = y + (1 - v).clamp_min(0).sqrt() * n
        else:
            scaled = y / v.clamp_min(1e-12).sqrt() if mode == "renorm" else y
            result = torch.where(v > 0, scaled, n)
    return result if diversity == 0 else (1 - diversity**2) ** 0.5 * result + diversity * extra


def shared_noise(shape: tuple[int, int, int, int], share: float, generator: torch.Generator) -> Tensor:
    """White noise (F, C, h, w) of which a part `share` in [0, 1] of the variance is common to all frames."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must be between 0 and 1, not {share}")
    common = torch.randn((1, *shape[1:]), generator=generator, device=generator.device)
    own = torch.randn(shape, generator=generator, device=generator.device)
    return share**0.5 * common + (1 - share) ** 0.5 * own


def partly_shared_noise(
    shape: tuple[int, ...], share: float, clips: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """White noise (B, C, F, h, w) for training; about `clips` of the B clips have `share` of the variance in common.

    Clips are drawn one by one, so that a model meets noise of both kinds ("PYoCo", arXiv 2305.10474, section 4).
    Raises: ValueError for a share outside [0, 1]; a generator is needed: the global one is never used.
    """
    if generator is None or not 0 <= share <= 1 or not 0 <= clips <= 1:
        raise ValueError(f"share={share} and clips={clips} must be in [0, 1], and a generator must be given")
    own = torch.randn(shape, generator=generator, device=generator.device)
    common = torch.randn((*shape[:2], 1, *shape[3:]), generator=generator, device=generator.device)
    some = torch.rand((shape[0], 1, 1, 1, 1), generator=generator, device=generator.device) < clips
    part = share * some
    return part.sqrt() * common + (1 - part).sqrt() * own


def _randn(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device).to(like.device, like.dtype)


def _position(grid: Tensor) -> Tensor:
    """Grid (F, h, w, 2) as pixel coordinates; those within _SNAP of a pixel centre are moved onto it."""
    size = torch.tensor([grid.shape[2] - 1, grid.shape[1] - 1], device=grid.device)
    position = (grid.float() + 1) / 2 * size
    centre = position.round()
    return torch.where((position - centre).abs() < _SNAP, centre, position)


def _gather(noise: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Values (F, C, h, w) at whole pixel coordinates (F, h, w), and whether they lie inside (F, 1, h, w)."""
    height, width = noise.shape[-2:]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long().flatten(1)  # (F, h w)
    values = noise.flatten(2).gather(2, index[:, None].expand(-1, noise.shape[1], -1))  # (F, C, h w)
    return values.view_as(noise), inside[:, None]


def _nearest(noise: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    # Halves all go one way: rounded to even, or by their last bits, they would repeat values under a half-pixel shift.
    x, y = (position + 0.4999).floor().unbind(-1)
    return _gather(noise, x, y)


def _bilinear(noise: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """The bilinear read, zero outside, and the sum of its squared weights (F, 1, h, w)."""
    low = position.floor()
    part = position - low
    total = torch.zeros_like(noise)
    v = torch.zeros_like(noise[:, :1])
    for dx in (0, 1):
        for dy in (0, 1):
            values, inside = _gather(noise, low[..., 0] + dx, low[..., 1] + dy)
            weight = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            weight = (weight[:, None] * inside).to(noise.dtype)  # (F, 1, h, w)
            total = total + weight * values
            v = v + weight**2
    return total, v
