"""Where the body of one skeleton is in another: rigid segments blended by distance, as a coarse warp of a reference."""

from __future__ import annotations

import torch
from torch import Tensor

# Segments between (means of) OpenPose joints: torso, neck, arms, legs; and their half widths in units of 1/128 picture.
SEGMENTS: tuple[tuple[tuple[int, ...], tuple[int, ...], float], ...] = (
    ((8, 11), (1,), 9.0),
    ((1,), (0,), 6.0),
    ((2,), (3,), 3.5),
    ((3,), (4,), 3.5),
    ((5,), (6,), 3.5),
    ((6,), (7,), 3.5),
    ((8,), (9,), 4.0),
    ((9,), (10,), 4.0),
    ((11,), (12,), 4.0),
    ((12,), (13,), 4.0),
)
SOFT = 3.0 / 128  # how far from a segment its pull falls, fraction of the picture
STAY = -4.0  # log weight of staying in place, against 0 on a segment


def skeleton_warp(target: Tensor, source: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each cell of a picture with the target's pose comes from in one with the source's.

    A cell keeps its place along and across the nearest segments of the target's skeleton; far from all it stays. A
    segment of which a joint is not seen in either pose pulls nothing. Tails and ears are on no segment.

    Args:
        target, source: (B, 18, 2) fractions of the picture, OpenPose order, not finite where unseen.
        height, width: of the result, cells.

    Returns:
        places (B, h, w, 2): fractions of the picture, x first.
        cover (B, h, w): 0..1, how much of a cell follows the body.
    """
    (start, end), (start_to, end_to) = _ends(target), _ends(source)  # (B, K, 2) each
    known = torch.isfinite(torch.stack([start, end, start_to, end_to])).all(-1).all(0)  # (B, K)
    start, end, start_to, end_to = (torch.nan_to_num(x) for x in (start, end, start_to, end_to))
    centres = _centres(height, width).to(target)  # (N, 2)
    along, across, length = _coordinates(centres, start, end)  # (B, K, N), (B, K, N), (B, K, 1)
    unit = (end_to - start_to) / (end_to - start_to).norm(dim=-1, keepdim=True).clamp(min=1e-4)  # (B, K, 2)
    moved = start_to[:, :, None] + along[..., None] * unit[:, :, None] + across[..., None] * _turned(unit)[:, :, None]
    beyond = along - along.clamp(min=0).minimum(length)
    radius = target.new_tensor([r for *_, r in SEGMENTS]).view(1, -1, 1) / 128  # (1, K, 1)
    away = ((beyond**2 + across**2).sqrt() - radius).clamp(min=0) / SOFT
    pull = torch.where(known[..., None], -(away**2), -torch.inf)  # (B, K, N)
    weight = torch.cat([pull, pull.new_full((len(pull), 1, pull.shape[2]), STAY)], 1).softmax(1)  # (B, K + 1, N)
    places = torch.cat([moved, centres.expand(len(pull), 1, -1, -1)], 1)  # (B, K + 1, N, 2)
    mixed = (weight[..., None] * places).sum(1)  # (B, N, 2)
    cover = 1 - weight[:, -1]  # (B, N)
    return mixed.unflatten(1, (height, width)), cover.unflatten(1, (height, width))  # (B, h, w, 2), (B, h, w)


def _ends(pose: Tensor) -> tuple[Tensor, Tensor]:
    starts = [pose[:, list(a)].mean(1) for a, _, _ in SEGMENTS]
    return torch.stack(starts, 1), torch.stack([pose[:, list(b)].mean(1) for _, b, _ in SEGMENTS], 1)


def _centres(height: int, width: int) -> Tensor:
    y, x = ((torch.arange(n) + 0.5) / n for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)  # (N, 2)


def _coordinates(points: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of points (N, 2) along and across segments (B, K, 2), and the segments' lengths."""
    length = (end - start).norm(dim=-1, keepdim=True).clamp(min=1e-4)  # (B, K, 1)
    unit = ((end - start) / length)[:, :, None]  # (B, K, 1, 2)
    away = points - start[:, :, None]  # (B, K, N, 2)
    return (away * unit).sum(-1), (away * _turned(unit)).sum(-1), length


def _turned(unit: Tensor) -> Tensor:
    return torch.stack([unit[..., 1], -unit[..., 0]], -1)
