"""How much of a line drawing is where it should be, within a tolerance: strokes are thin, and pixels are off by one."""

from __future__ import annotations

import cv2
import numpy as np

from motionkit.metrics.frames import pair

INK = 0.5  # mean brightness below which a pixel is ink


def ink_overlap(video: np.ndarray, truth: np.ndarray, reach: float = 0.015) -> float:
    """F1 of the ink, mean over frames: strokes of one that have ink of the other nearby; higher is better, [0, 1].

    Precision is the share of the video's ink within `reach` of the truth's, recall the other way round. Two empty
    frames agree (1), an empty one and a drawn one do not (0).

    Args:
        video, truth: (F, H, W, 3) dark lines on light paper, uint8 or floats in [0, 1].
        reach: how near, as a share of the longer side.

    Raises:
        ValueError: not two videos of one shape, or a negative reach.

    >>> drawn, half = np.ones((1, 8, 8, 3)), np.ones((1, 8, 8, 3))
    >>> drawn[0, 2], half[0, 2, :4] = 0, 0  # all of the half is right, half of the line is there: 2 * 0.5 / 1.5
    >>> round(ink_overlap(half, drawn, reach=0), 4)
    0.6667
    >>> ink_overlap(np.roll(drawn, 1, axis=1), drawn, reach=0.125)
    1.0
    """
    if reach < 0:
        raise ValueError(f"the reach must not be negative, got {reach}")
    first, second = (v.mean(axis=-1) < INK for v in pair(video, truth))  # (F, H, W)
    pixels = reach * max(first.shape[1:])
    return float(np.mean([_f1(a, b, pixels) for a, b in zip(first, second, strict=True)]))


def _f1(one: np.ndarray, two: np.ndarray, reach: float) -> float:
    if not one.any() or not two.any():
        return float(one.any() == two.any())
    precision, recall = (float(near[ink].mean()) for near, ink in ((_near(two, reach), one), (_near(one, reach), two)))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(ink: np.ndarray, reach: float) -> np.ndarray:
    """Pixels within `reach` of ink (H, W) bool."""
    return cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= reach + 1e-3
