"""Whether a video has the right colours, whatever their position."""

from __future__ import annotations

import numpy as np

from motionkit.metrics.frames import as_float


def histogram_distance(video: np.ndarray, truth: np.ndarray) -> float:
    """Earth mover's distance between colour histograms, mean of the channels; lower is better, range [0, 1].

    All frames are pooled, so it is blind to place, order and number of frames: 0 means the same amounts of the same
    colours, 1 black against white. Values are taken in 256 steps.

    Args:
        video, truth: (F, H, W, 3); numbers of frames and sizes may differ.

    Raises:
        ValueError: not videos.

    >>> black, dark = np.zeros((1, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 51, np.uint8)
    >>> round(histogram_distance(black, dark), 6)  # every pixel is 51 / 255 away
    0.2
    """
    difference = _cumulative(as_float(video)) - _cumulative(as_float(truth))
    return float(np.abs(difference[:, :-1]).sum(axis=1).mean() / 255)


def _cumulative(video: np.ndarray) -> np.ndarray:
    """(3, 256): the share of each channel's values up to each level."""
    levels = np.rint(video * 255).astype(np.uint8).reshape(-1, 3)  # (F*H*W, 3)
    counts = np.stack([np.bincount(channel, minlength=256) for channel in levels.T])
    return np.cumsum(counts, axis=1) / len(levels)
