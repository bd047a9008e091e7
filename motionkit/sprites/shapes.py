"""Painted body parts: outlines in a bone's own frame (x along the bone, y to its left, world units) and tones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SUPERSAMPLE = 2
_WAVES = np.arange(1, 6)  # slow ones move a hand-drawn contour as a whole, quick ones shake it
SHIFT = 4  # fractional bits of polygon vertices


@dataclass(frozen=True)
class Part:
    """One painted polygon: `outline` (N, 2) in the frame of `bone`, RGB `colour`, painter's order `z` (low first).

    Where a look draws contours, parts with `ink` get one; parts of one `group` that follow each other share it.
    """

    bone: int
    outline: np.ndarray
    colour: tuple[int, int, int]
    z: float
    ink: bool = True
    group: str = ""


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


def egg(cx: float, cy: float, back: float, front: float, half: float, sides: int = 24) -> np.ndarray:
    """A rounded body from cx - back to cx + front, `half` wide to each side of cy (sides, 2)."""
    t = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return np.stack([cx + np.where(np.cos(t) > 0, front, back) * np.cos(t), cy + half * np.sin(t)], -1)


def rounded(x0: float, y0: float, x1: float, y1: float, power: float = 4.0, sides: int = 28) -> np.ndarray:
    """A rectangle with round corners (a superellipse of that power; 2 is an ellipse) (sides, 2)."""
    t = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    c, s = np.cos(t), np.sin(t)
    x, y = np.sign(c) * np.abs(c) ** (2 / power), np.sign(s) * np.abs(s) ** (2 / power)
    return np.stack([(x0 + x1) / 2 + (x1 - x0) / 2 * x, (y0 + y1) / 2 + (y1 - y0) / 2 * y], -1)


def within(outline: np.ndarray, inside: np.ndarray) -> np.ndarray | None:
    """The part of one convex outline that lies inside another (N, 2); None where they hardly meet."""
    area, common = cv2.intersectConvexConvex(outline.astype(np.float32), inside.astype(np.float32))
    return common[:, 0].astype(float) if area > 1e-5 and common is not None else None


def wobbly(outline: np.ndarray, rng: np.random.Generator, by: float, points: int = 40) -> np.ndarray:
    """The closed outline as a hand would draw it (points, 2): even, moved smoothly by about `by`."""
    closed = np.concatenate([outline, outline[:1]])
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(closed, axis=0), axis=-1).cumsum()])
    at = np.linspace(0, along[-1], points, endpoint=False)
    even = np.stack([np.interp(at, along, closed[:, i]) for i in (0, 1)], -1)  # (points, 2)
    turns = np.multiply.outer(np.linspace(0, 2 * np.pi, points, endpoint=False), _WAVES)  # (points, 5)
    waves = np.concatenate([np.sin(turns), np.cos(turns)], 1)  # (points, 10)
    return even + by / 1.5 * waves @ (rng.standard_normal((10, 2)) / np.sqrt([*_WAVES, *_WAVES])[:, None])


def vertices(outline: np.ndarray, matrix: np.ndarray, factor: int) -> np.ndarray:
    """An outline as OpenCV draws it, on a grid `factor` times finer (N, 2) int32 with `SHIFT` fractional bits."""
    points = outline @ matrix[:, :2].T + matrix[:, 2]
    # Pixel centres are integers: a finer grid has its centres at factor * (x + 0.5) - 0.5.
    points = factor * (points + 0.5) - 0.5
    return np.rint(points * (1 << SHIFT)).astype(np.int32)
