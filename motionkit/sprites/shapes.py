"""Outlines of body parts in a bone's own frame: x along the bone, y to its left, world units."""

from __future__ import annotations

import numpy as np


def capsule(length: float, r0: float, r1: float, sides: int = 8) -> np.ndarray:
    """Tapered limb from (0, 0) radius `r0` to (length, 0) radius `r1`; (2 * sides + 2, 2)."""
    t = np.linspace(np.pi / 2, 3 * np.pi / 2, sides + 1)
    back = np.stack([r0 * np.cos(t), r0 * np.sin(t)], -1)
    front = np.stack([length - r1 * np.cos(t), -r1 * np.sin(t)], -1)
    return np.concatenate([back, front])


def ellipse(cx: float, cy: float, rx: float, ry: float, sides: int = 20) -> np.ndarray:
    """Ellipse (sides, 2)."""
    t = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], -1)


def triangle(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> np.ndarray:
    """Triangle (3, 2)."""
    return np.array([a, b, c], dtype=float)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Axis-aligned rectangle (4, 2)."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)
