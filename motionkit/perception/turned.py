"""Test-time augmentation by rotation: networks that learnt upright bodies find one that spins in a turned view.

Every frame takes the view in which the network is most certain, with few leaps from frame to frame (the path is found
by dynamic programming, as Viterbi's). No paper's: ours.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TURNS = 8  # views, turned by an eighth of a circle each; the first is the picture as it is


def angle(view: int) -> float:
    """By how much a view is turned, radians."""
    return 2 * np.pi * view / TURNS


def rotation(turn: float) -> Tensor:
    """The matrix R (2, 2), float64, of that angle; x is first, y points down."""
    c, s = np.cos(turn), np.sin(turn)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def turned(pictures: Tensor, turn: float) -> Tensor:
    """Pictures (N, C, H, W) that show at x what was at R x, both from the middle; the border is repeated outside.

    A point found at x in them is at R x in the picture.
    """
    high, wide = pictures.shape[-2:]
    x, y = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in (wide, high))
    at = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1) @ rotation(turn).T  # (H, W, 2) pixels from the middle
    at = at / torch.tensor([(wide - 1) / 2, (high - 1) / 2], dtype=torch.float64)
    grid = at.to(pictures).expand(len(pictures), -1, -1, -1)  # (N, H, W, 2)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=True)


def steadiest(worth: np.ndarray, leap: float) -> list[int]:
    """The view of each frame for which the sum of worth (TURNS, F), less the cost of leaps, is largest.

    Args:
        leap: the cost of each eighth of a circle beyond the first between two frames.
    """
    apart = np.abs(np.arange(TURNS)[:, None] - np.arange(TURNS))
    cost = leap * np.maximum(0, np.minimum(apart, TURNS - apart) - 1)  # (TURNS, TURNS)
    total, before = worth[:, 0], []
    for each in worth.T[1:]:
        reached = total - cost  # (to, from)
        before.append(reached.argmax(1))
        total = reached.max(1) + each
    path = [int(total.argmax())]
    for earlier in reversed(before):
        path.append(int(earlier[path[-1]]))
    return path[::-1]
