"""A head that predicts, from a UNet's inner features, which part each latent cell shows and where it comes from.

It is trained with the UNet and then dropped: features that know the parts draw better limbs. The renderer gives the
true parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.sprites import BONES
from motionkit.sprites.world import SpriteClip

CLASSES = len(BONES) + 1  # background first
WEIGHT = 0.1  # of the head's losses beside the MSE of v
REACH = 16.0  # pixels that count as 1 in an offset


class AuxiliaryHead(nn.Module):
    """Features (B, C, h, w) to part logits (B, 13, h, w) and, if asked for, offsets (B, 2, h, w) to the reference."""

    def __init__(self, channels: int, offsets: bool = False, hidden: int = 64, groups: int = 16) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(hidden, CLASSES + 2 * offsets, 1),
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and offsets; without offsets the second has no channels."""
        out = self.net(features)
        return out[:, :CLASSES].float(), out[:, CLASSES:].float()


class Listener:
    """Keeps the output of one module during training.

    Attributes:
        heard: (B, C, h, w) of the last forward pass in training; read it once with `take`.
    """

    def __init__(self, module: nn.Module) -> None:
        self.heard: Tensor | None = None
        module.register_forward_hook(self._hear)

    def _hear(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.heard = output if module.training else None

    def take(self) -> Tensor:
        """Return the kept output and forget it. Raises: RuntimeError when no pass in training came before."""
        if self.heard is None:
            raise RuntimeError("no output was kept: run the model in training mode first")
        heard, self.heard = self.heard, None
        return heard


def part_cells(data: Sequence[SpriteClip], frame: int = 0, cell: int = 4) -> Tensor:
    """The part (B, h, w) int64 that each cell of `cell` pixels shows near its middle; 0 is background."""
    codes = np.stack([c.parts[frame] for c in data])  # (B, H, W)
    middle = (cell - 1) // 2
    return torch.from_numpy(codes[:, middle::cell, middle::cell].astype(np.int64)) + 1  # (B, h, w)


def part_loss(logits: Tensor, parts: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits (B, 13, h, w) with parts (B, h, w), each picture weighted by `weight` (B,)."""
    each = F.cross_entropy(logits, parts, reduction="none").mean((1, 2))  # (B,)
    return each.mean() if weight is None else (each * weight).mean()


def offset_loss(offsets: Tensor, true: Tensor, visible: Tensor) -> Tensor:
    """L1 of offsets (B, 2, h, w), in units of REACH, with true ones in pixels, where visible (B, 1, h, w) is 1."""
    return ((offsets - true / REACH).abs() * visible).sum() / (2 * visible.sum() + 1)
