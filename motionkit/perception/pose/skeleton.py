"""From what a whole-body network returns to a skeleton: simcc decoding, and 133 COCO-WholeBody points to 130.

DWPose (Yang et al. 2023, arXiv 2307.15880), as Animate-X reads it (arXiv 2410.10306, section 3.2).
"""

from __future__ import annotations

import numpy as np

from motionkit.perception.pose.clip import POINTS, UNSEEN

MIN_SCORE = 0.3
WHOLEBODY = 133
# Body joints in OpenPose order, as points of the network with the neck at 17: each of 0..17.
_BODY = np.array([0, 17, 6, 8, 10, 7, 9, 5, 12, 14, 16, 13, 15, 11, 2, 1, 4, 3])
_OPENPOSE = [1, 2, 3, 4, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17]
_COCO = [17, 6, 8, 10, 7, 9, 12, 14, 16, 13, 15, 2, 1, 4, 3]
_TOES = ((18, 19), (21, 22))  # big and small toe of the left and of the right foot, with the neck inserted


def assemble(points: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A skeleton for each of N people.

    The neck is the mean of the shoulders, a foot the mean of its two toes; each is seen when both of them are.

    Args:
        points: (N, 133, 2) pixels, COCO-WholeBody order.
        scores: (N, 133).
        size: (height, width) of the picture.

    Returns:
        xy (N, 130, 2) fractions, (-1, -1) where the score is below 0.3; seen (N, 130) bool.
    """
    neck = points[:, [5, 6]].mean(1)
    sure = np.all(scores[:, [5, 6]] > MIN_SCORE, axis=1).astype(scores.dtype)
    every = np.insert(points, 17, neck, axis=1)  # (N, 134, 2)
    score = np.insert(scores, 17, sure, axis=1)  # (N, 134)
    every[:, _OPENPOSE], score[:, _OPENPOSE] = every[:, _COCO], score[:, _COCO]
    every = every / [float(size[1]), float(size[0])]
    every[score < MIN_SCORE] = UNSEEN
    xy = np.concatenate([every[:, :20], every[:, 92:], every[:, 24:92]], 1)  # (N, 130, 2)
    kept = np.concatenate([score[:, :20], score[:, 92:], score[:, 24:92]], 1)  # (N, 130)
    seen = np.greater_equal(kept, MIN_SCORE)
    seen[:, :18] = np.greater(score[:, :18], MIN_SCORE)
    for i, (big, small) in enumerate(_TOES):
        both = np.logical_and(score[:, big] > MIN_SCORE, score[:, small] > MIN_SCORE)  # (N,)
        xy[:, 18 + i] = np.where(both[:, None], (every[:, big] + every[:, small]) / 2, UNSEEN)
        seen[:, 18 + i] = both
    assert xy.shape[1] == POINTS
    return xy, seen


def crop_of(box: np.ndarray, width: int, height: int, padding: float = 1.25) -> tuple[np.ndarray, np.ndarray]:
    """Centre (2,) and extent (2,) in pixels of the crop that a pose network sees for a box (x0, y0, x1, y1).

    The box grows by `padding`, then its shorter side until width : height is the network's.
    """
    box = np.asarray(box, np.float64)
    centre, extent = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * padding
    aspect = width / height
    wide, tall = extent
    return centre, np.array([wide, wide / aspect] if wide > tall * aspect else [tall * aspect, tall])


def decode_simcc(
    along_x: np.ndarray, along_y: np.ndarray, centre: np.ndarray, extent: np.ndarray, split: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Points and scores from the two classifications of a simcc head (Li et al. 2022, arXiv 2107.03332).

    Args:
        along_x, along_y: (N, K, split * width) and (N, K, split * height).
        centre, extent: of the crop, pixels of the picture.
        split: bins a pixel of the network's input.

    Returns:
        points (N, K, 2) pixels of the picture, scores (N, K): the lower of the two peaks.
    """
    bins = np.stack([along_x.argmax(-1), along_y.argmax(-1)], -1).astype(np.float32)  # (N, K, 2)
    scores = np.minimum(along_x.max(-1), along_y.max(-1))
    bins[scores <= 0] = -1
    sides = np.array([along_x.shape[-1], along_y.shape[-1]]) / split
    return bins / split / sides * extent + centre - extent / 2, scores
