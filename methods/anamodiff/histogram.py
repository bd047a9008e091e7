"""Colours of the output back to those of the source, by matching distributions (AnaMoDiff section 3.5)."""

from __future__ import annotations

import numpy as np

from .foreground import subject_mask

LEVELS = 255


def match_colours(
    frames: np.ndarray,
    source: np.ndarray,
    kind: str = "histogram",
    strength: float = 1.0,
    pooled: bool = True,
    masked: bool = True,
) -> tuple[np.ndarray, bool]:
    """Map the colours of a clip onto those of the source.

    Args:
        frames: (F, H, W, 3) floats in [0, 1].
        source: (S, H, W, 3) uint8.
        kind: "histogram" (each channel's distribution), "reinhard" (mean and deviation), "none".
        strength: 0 leaves the frames, 1 maps them fully.
        pooled: learn one mapping from all frames, which cannot flicker, or one for each.
        masked: match subject and background separately, so that a growing subject does not shift the background; needs
            plain borders in both clips.

    Returns:
        (F, H, W, 3) floats in [0, 1], and whether subject and background were told apart.
    """
    if kind == "none" or strength == 0:
        return frames, False
    eight_bit = np.round(frames * LEVELS).astype(np.uint8)
    ours, theirs = (subject_mask(eight_bit), subject_mask(source)) if masked else (None, None)
    if ours is None or theirs is None:
        regions, told = [(np.ones(frames.shape[:3], np.float32), np.ones(source.shape[:3], bool))], False
    else:
        regions, told = [(ours, theirs > 0.5), (1 - ours, theirs <= 0.5)], True
    groups = [slice(None)] if pooled else [slice(i, i + 1) for i in range(len(frames))]
    result = np.zeros_like(frames)
    for group in groups:
        for weight, reference in regions:
            mapped = _map(frames[group], weight[group] > 0.5, source[reference] / np.float32(LEVELS), kind)
            result[group] += weight[group][..., None] * mapped
    return np.clip(frames + strength * (result - frames), 0, 1), told


def _map(frames: np.ndarray, chosen: np.ndarray, reference: np.ndarray, kind: str) -> np.ndarray:
    """Every channel through the mapping that carries the chosen pixels to the reference pixels (N, 3)."""
    pixels = frames[chosen]  # (N,3)
    if min(len(pixels), len(reference)) < 16:
        return frames  # no pixels to learn a mapping from
    if kind == "reinhard":
        spread = reference.std(0) / np.maximum(pixels.std(0), 1e-6)
        return ((frames - pixels.mean(0)) * spread.clip(0.5, 2) + reference.mean(0)).astype(frames.dtype)
    return np.stack([_transfer(frames[..., c], pixels[:, c], reference[:, c]) for c in range(3)], -1)


def _transfer(channel: np.ndarray, pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """One channel: value -> its quantile among `pixels` -> the value of that quantile in `reference`."""
    values, quantiles = _distribution(pixels)
    wanted, levels = _distribution(reference)
    mapped = np.interp(quantiles, levels, wanted)
    beyond = channel - channel.clip(values[0], values[-1])  # mixed edge pixels: shifted like the nearest known value
    return (np.interp(channel, values, mapped) + beyond).astype(channel.dtype)


def _distribution(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct 8-bit values in ascending order and the middle of each one's quantiles.

    >>> values, quantiles = _distribution(np.array([0.0, 0.0, 1.0, 1.0]))
    >>> values.tolist(), quantiles.tolist()
    ([0.0, 1.0], [0.25, 0.75])
    """
    distinct, counts = np.unique(np.round(values * LEVELS), return_counts=True)
    return distinct / LEVELS, (np.cumsum(counts) - counts / 2) / counts.sum()
