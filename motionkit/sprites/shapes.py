"""Painted body parts: outlines in a bone's own frame (x along the bone, y to its left, world units) and tones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """One painted polygon: `outline` (N, 2) in the frame of `bone`, RGB `colour`, painter's order `z` (low first)."""

    bone: int
    outline: np.ndarray
    colour: tuple[int, int, int]
    z: float


def tone(colour: tuple[int, ...], factor: float) -> tuple[int, int, int]:
    """The colour darkened (< 1) or lightened towards white (> 1)."""
    c = np.array(colour, float)
    c = c * factor if factor <= 1 else 255 - (255 - c) * (2 - factor)
    return tuple(int(v) for v in np.clip(c, 0, 255).round())  # type: ignore[return-value]


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
