"""How far joints are from where they should be; the positions come from outside, known or estimated."""

from __future__ import annotations

import numpy as np


def keypoint_error(predicted: np.ndarray, truth: np.ndarray, visible: np.ndarray | None = None) -> float:
    """Mean distance of keypoints in pixels; lower is better, range [0, inf).

    Args:
        predicted, truth: (F, K, 2) pixels.
        visible: (F, K) boolean, which ones count; all when None.

    Raises:
        ValueError: shapes differ, values are not finite where they count, or none counts.

    >>> truth = np.zeros((1, 2, 2)); predicted = truth.copy()
    >>> predicted[0, 0] = 3, 4
    >>> keypoint_error(predicted, truth)  # distances 5 and 0
    2.5
    >>> keypoint_error(predicted, truth, np.array([[True, False]]))
    5.0
    """
    return float(_distances(predicted, truth, visible).mean())


def pck(predicted: np.ndarray, truth: np.ndarray, radius: float, visible: np.ndarray | None = None) -> float:
    """Percentage of correct keypoints as a fraction: those within `radius` pixels; higher is better, range [0, 1].

    Raises:
        ValueError: as `keypoint_error`, or a radius that is not positive.

    >>> truth = np.zeros((1, 2, 2)); predicted = truth.copy()
    >>> predicted[0, 0] = 3, 4
    >>> pck(predicted, truth, radius=4)
    0.5
    """
    if not radius > 0:
        raise ValueError(f"the radius must be positive, got {radius}")
    return float((_distances(predicted, truth, visible) <= radius).mean())


def _distances(predicted: np.ndarray, truth: np.ndarray, visible: np.ndarray | None) -> np.ndarray:
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.ndim != 3 or predicted.shape[-1] != 2:
        raise ValueError(f"keypoints are (F, K, 2) of one shape, got {predicted.shape} and {truth.shape}")
    visible = np.ones(predicted.shape[:2], bool) if visible is None else np.asarray(visible)
    if visible.dtype != bool or visible.shape != predicted.shape[:2]:
        raise ValueError(f"visible must be boolean of shape {predicted.shape[:2]}, got {visible.dtype} {visible.shape}")
    distances = np.linalg.norm(predicted - truth, axis=-1)[visible]  # (n,)
    if not (len(distances) and np.isfinite(distances).all()):
        raise ValueError("no keypoint counts" if not len(distances) else "keypoints that count must be finite")
    return distances
