"""Attention along time that is told, in training, in which frames a place shows the same content.

A layer that attends along time sees one place of all frames. Without help it learns to take the mean of them: where a
limb passes, that is the mean of different things. The renderer knows which frames show the same there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from motionkit.sprites.world import SpriteClip
from motionkit.training.recipes.watched_attention import WatchedAttention

SAME = 3.0  # pixels: a place that moved less on its part shows the same
TIME = 0.02  # weight of the loss beside the MSE of v


def same_content(data: Sequence[SpriteClip], cell: int = 4) -> np.ndarray:
    """Whether a cell (B, h, w) of frame f shows in frame g what it shows in f: (B, h, w, F, F) bool."""
    return np.stack([_same(clip, cell) for clip in data])


def _same(clip: SpriteClip, cell: int) -> np.ndarray:
    middle = (cell - 1) // 2
    codes = clip.parts[:, middle::cell, middle::cell]  # (F, h, w)
    rows, columns = (np.arange(n) * cell + middle for n in codes.shape[1:])
    at = np.stack(np.meshgrid(columns, rows), -1).astype(np.float64)  # (h, w, 2)
    places = np.broadcast_to(at, (*codes.shape, 2)).copy()  # (F, h, w, 2); the background stays where it is
    for f, shown in enumerate(codes):
        for bone in np.unique(shown[shown >= 0]):
            here, matrix = shown == bone, clip.matrices[f, bone]
            unit = np.linalg.norm(matrix[:, 0])  # pixels
            places[f][here] = unit * np.linalg.solve(matrix[:, :2], (at[here] - matrix[:, 2]).T).T  # (n, 2)
    away = np.linalg.norm(places[:, None] - places[None], axis=-1)  # (F, F, h, w)
    found = (codes[:, None] == codes[None]) & (away < SAME)
    return found.transpose(2, 3, 0, 1)  # (h, w, F, F)


def watch(modules: nn.Module) -> WatchedAttention:
    """Let every attention among these modules be watched where gradients are computed."""
    watched = WatchedAttention(lambda attn, queries, reads: torch.is_grad_enabled())
    for module in modules.modules():
        if isinstance(module, Attention):
            module.set_processor(watched)
    return watched


def time_loss(maps: Sequence[Tensor], same: Tensor) -> Tensor:
    """Mean of -log of the attention on frames that show the same, over the cells where not all frames do.

    Args:
        maps: (B h' w', F, F) each, of any level whose sides divide those of the cells.
        same: (B, h, w, F, F) bool, as `same_content` has it.
    """
    losses = []
    for one in maps:
        step = round((same.shape[0] * same.shape[1] * same.shape[2] / len(one)) ** 0.5)
        part = same[:, step // 2 :: step, step // 2 :: step].flatten(0, 2)  # (B h' w', F, F)
        moves = ~part.all(-1)  # (B h' w', F)
        if moves.any():
            losses.append(-((one.float() * part).sum(-1)[moves] + 1e-3).log().mean())
    return torch.stack(losses).mean() if losses else same.new_zeros((), dtype=torch.float32)


def diagonal(maps: Sequence[Tensor]) -> float:
    """How much more a frame looks at itself than at an even share: the mean over maps (N, F, F); 1 is even."""
    return float(np.mean([m.float().diagonal(dim1=-2, dim2=-1).mean().item() * m.shape[-1] for m in maps]))
