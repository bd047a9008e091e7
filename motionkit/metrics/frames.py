"""Input checks of the metrics: video arrays of any accepted kind become floats in [0, 1] exactly once, here.

A video is (F, H, W, 3): uint8, or floats in [0, 1]. Integers are cast before any subtraction: differences of uint8 wrap
around, a mistake that several published evaluation scripts made.
"""

from __future__ import annotations

import numpy as np


def as_float(video: np.ndarray) -> np.ndarray:
    """(F, H, W, 3) float64 in [0, 1].

    Raises:
        ValueError: another shape, no frames, another integer type, values outside [0, 1] or not finite.
    """
    video = np.asarray(video)
    if video.ndim != 4 or video.shape[-1] != 3 or 0 in video.shape:
        raise ValueError(f"a video is (F, H, W, 3) with at least one frame, got shape {video.shape}")
    if video.dtype == np.uint8:
        return video.astype(np.float64) / 255
    if not np.issubdtype(video.dtype, np.floating):
        raise ValueError(f"a video is uint8 or floats in [0, 1], got {video.dtype}")
    if not (np.isfinite(video).all() and video.min() >= 0 and video.max() <= 1):
        raise ValueError("a video of floats must be finite and within [0, 1]")
    return video.astype(np.float64)


def pair(video: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as `as_float`.

    Raises:
        ValueError: as `as_float`, or the shapes differ.
    """
    first, second = as_float(video), as_float(truth)
    if first.shape != second.shape:
        raise ValueError(f"videos differ in shape: {first.shape} and {second.shape}")
    return first, second


def as_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A (F, H, W) boolean mask for a video of `shape`.

    Raises:
        ValueError: another shape, or not boolean.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != shape[:3]:
        raise ValueError(f"the mask must be boolean of shape {shape[:3]}, got {mask.dtype} {mask.shape}")
    return mask
