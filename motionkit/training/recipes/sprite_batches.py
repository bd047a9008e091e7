"""Batches of sprite frames as tensors, reproducible by (name, seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.sprites.world import SpriteClip, render_clip


def clips(
    name: str,
    seed: int,
    step: int,
    count: int,
    frames: int = 1,
    size: int = 128,
    split: str = "train",
    setting: str = "easy",
    kinds: Sequence[str] | None = None,
    motions: Sequence[str] | None = None,
    begun: float = 0.0,
) -> list[SpriteClip]:
    """`count` random clips of the split; the same arguments give the same clips.

    Args:
        begun: share of clips whose motion starts where its cycle begins; the others start anywhere.
    """
    rng, starts = rng_of(name, seed, step, split, setting), rng_of(name, seed, step, "starts")
    out = []
    for _ in range(count):
        who, motion = random_character(rng, split, setting, kinds), random_motion(rng, split, motions)
        motion = replace(motion, phase=0.0) if begun and starts.uniform() < begun else motion
        out.append(render_clip(who, motion, frames, size))
    return out


def pixels(batch: Sequence[SpriteClip], frame: int = 0) -> torch.Tensor:
    """One frame of each clip as (B, 3, H, W) in [-1, 1]."""
    stacked = np.stack([c.frames[frame] for c in batch])  # (B, H, W, 3)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, H, W)


def masks(batch: Sequence[SpriteClip], frame: int = 0) -> torch.Tensor:
    """Subject masks (B, 1, H, W) float."""
    return torch.from_numpy(np.stack([c.mask[frame] for c in batch])).float()[:, None]  # (B, 1, H, W)
