"""Chooses one of several people in a clip: followed through the clip, the largest, or the first found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CHOICES = ("tracked", "largest", "first")


def choose(boxes: Sequence[np.ndarray], person: str) -> list[int | None]:
    """The box of the wanted person in each frame.

    "tracked" starts with the largest of the first frame that shows a person; then, in each frame, it is the box that
    covers the last one best, or, where none touches it, the nearest one within the last one's diagonal. Without such a
    box the person counts as not visible, even if others are there.

    Args:
        boxes: of each frame (n, 4) x0, y0, x1, y1; the most certain first.
        person: one of CHOICES.
    """
    if person == "first":
        return [0 if len(found) else None for found in boxes]
    if person == "largest":
        return [int(_area(found).argmax()) if len(found) else None for found in boxes]
    chosen: list[int | None] = []
    last: np.ndarray | None = None
    for found in boxes:
        at = None
        if len(found):
            at = int(_area(found).argmax()) if last is None else _follow(last, found)
        chosen.append(at)
        last = last if at is None else found[at]
    return chosen


def _follow(last: np.ndarray, found: np.ndarray) -> int | None:
    overlap = _overlap(last, found)
    if overlap.max() > 0:
        return int(overlap.argmax())
    away = np.linalg.norm(_centre(found) - _centre(last[None]), axis=-1)
    return int(away.argmin()) if away.min() <= np.linalg.norm(last[2:] - last[:2]) else None


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)


def _centre(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _overlap(one: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with each of (n, 4)."""
    inside = (np.minimum(one[2:], boxes[:, 2:]) - np.maximum(one[:2], boxes[:, :2])).clip(0).prod(-1)
    return inside / np.maximum(_area(boxes) + _area(one[None]) - inside, 1e-9)


def box_of(points: np.ndarray) -> np.ndarray:
    """The box (4,) around the points (K, 2) that are not NaN; zeros when there are none."""
    there = points[np.isfinite(points).all(-1)]
    return np.concatenate([there.min(0), there.max(0)]) if len(there) else np.zeros(4)
