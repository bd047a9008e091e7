"""Clips as drawings by hand: pens of 1 to 3 pixels, an unsteady hand, and parts that are filled in a flat tone.

The renderer's line drawings have thin even lines and nothing filled, unlike people's drawings.
"""

from __future__ import annotations

import cv2
import numpy as np

from motionkit.sprites.world import SpriteClip

PENS = (2, 7)  # thickness at twice the size, from and below: 1 to 3 pixels
UNSTEADY = 1.2  # pixels, the most that a line strays
FILLED = 0.35  # share of drawings with filled parts


def drawn(clip: SpriteClip, rng: np.random.Generator) -> np.ndarray:
    """The clip as a drawing (F, H, W, 3) uint8, dark on white; pen, hand and fills are the same in all frames."""
    pen = int(rng.integers(*PENS))
    ink = rng.uniform(0, 50)  # black to dark grey
    frames = ink + clip.lines(pen).astype(np.float32) * ((255 - ink) / 255)
    if rng.uniform() < FILLED:
        frames = frames * _fills(clip, rng)
    field = _field(clip.size, rng)
    return np.stack([_moved(f, field) for f in frames.clip(0, 255).astype(np.uint8)])


def _fills(clip: SpriteClip, rng: np.random.Generator) -> np.ndarray:
    """A factor (F, H, W, 1) in [0, 1] that darkens some parts."""
    known = np.unique(clip.parts[clip.parts >= 0])
    share = rng.uniform(0.1, 0.7)
    tones = np.ones(int(clip.parts.max()) + 2, np.float32)  # the last is the background's
    tones[known] = np.where(rng.uniform(size=len(known)) < share, rng.uniform(0.45, 0.95), 1.0)
    return tones[clip.parts][..., None]  # (F, H, W, 1)


def _field(size: int, rng: np.random.Generator) -> np.ndarray:
    """Where each pixel is taken from (H, W, 2): smooth displacements of a random strength."""
    cells = int(rng.integers(6, 14))
    coarse = rng.standard_normal((cells, cells, 2)).astype(np.float32)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    stray = smooth / max(float(np.abs(smooth).max()), 1e-6) * rng.uniform(0, UNSTEADY)
    still = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    return still + stray


def _moved(frame: np.ndarray, field: np.ndarray) -> np.ndarray:
    return cv2.remap(frame, field, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
