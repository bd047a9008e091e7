"""Skeletons as pictures, drawn as the ones on which Animate-X was trained.

Limbs are flat ellipses in OpenPose's colours at 60 % brightness, joints are discs, hands are lines and discs. The
authors save these pictures by a writer that expects BGR, so their network sees red and blue exchanged: that is what
`draw` returns. Their JPEG noise is left out.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from motionkit.perception.pose.clip import BODY, FACE, FEET, LEFT_HAND, RIGHT_HAND, PoseClip

LIMBS = (
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
    (13, 18),
    (10, 19),
)
COLOURS = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
    (170, 255, 255),
    (255, 255, 0),
)
FINGERS = tuple((0 if j == 0 else 4 * f + j, 4 * f + j + 1) for f in range(5) for j in range(4))
HALF_WIDTH, RADIUS, FACE_RADIUS, DIM = 4, 4, 3, 0.6


def draw(
    clip: PoseClip, height: int, width: int, *, faces: bool = False, at: tuple[int, int] | None = None
) -> np.ndarray:
    """The poses of a clip as the network's pictures (F, height, width, 3) uint8.

    Args:
        clip: the poses; their fractions are stretched to any aspect.
        height, width: of the result.
        faces: draw the face points too; the released weights were trained without.
        at: (height, width) at which lines of fixed thickness are drawn before the picture is stretched (bilinear) to
            the result; None is the clip's own size, as the authors do.
    """
    high, wide = at or clip.size
    out = np.empty((len(clip), height, width, 3), np.uint8)
    for f in range(len(clip)):
        picture = canvas(clip, f, high, wide, faces)[..., ::-1]
        if (high, wide) != (height, width):
            size = (width, height)
            picture = np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.BILINEAR))
        out[f] = picture
    return out


def canvas(clip: PoseClip, frame: int, height: int, width: int, faces: bool = False) -> np.ndarray:
    """One frame as it is drawn, before red and blue are exchanged: (height, width, 3) uint8."""
    xy, seen = clip.xy[frame] * [float(width), float(height)], clip.seen[frame]
    out = np.zeros((height, width, 3), np.uint8)
    body = np.concatenate([xy[BODY], xy[FEET]])  # (20, 2)
    there = np.concatenate([seen[BODY], seen[FEET]]) & _drawable(body, height, width)
    for (a, b), colour in zip(LIMBS, COLOURS, strict=False):
        if there[a] and there[b]:
            _limb(out, body[a], body[b], colour)
    out = (out * DIM).astype(np.uint8)
    for joint in np.flatnonzero(there):
        _disc(out, body[joint], RADIUS, COLOURS[joint])
    for hand in (LEFT_HAND, RIGHT_HAND):
        _hand(out, xy[hand], seen[hand] & _drawable(xy[hand], height, width))
    if faces:
        for point in xy[FACE][seen[FACE] & _drawable(xy[FACE], height, width)]:
            if _inside(point):
                _disc(out, point, FACE_RADIUS, (255, 255, 255))
    return out


def _drawable(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Points that are not so far outside that integers overflow."""
    return (np.abs(points) < 32 * max(height, width)).all(-1)


def _limb(out: np.ndarray, a: np.ndarray, b: np.ndarray, colour: tuple[int, int, int]) -> None:
    (x, y), (dx, dy) = (a + b) / 2, a - b
    length, angle = (dy**2 + dx**2) ** 0.5, math.degrees(math.atan2(dy, dx))
    around = cv2.ellipse2Poly((int(x), int(y)), (int(length / 2), HALF_WIDTH), int(angle), 0, 360, 1)
    cv2.fillConvexPoly(out, np.asarray(around), colour)


def _disc(out: np.ndarray, point: np.ndarray, radius: int, colour: tuple[int, int, int]) -> None:
    cv2.circle(out, (int(point[0]), int(point[1])), radius, colour, thickness=-1)


def _inside(point: np.ndarray) -> bool:
    """Hand and face points in the first row or column, or before it, are left out."""
    return bool(int(point[0]) > 0 and int(point[1]) > 0)


def _hand(out: np.ndarray, points: np.ndarray, there: np.ndarray) -> None:
    shown = [bool(there[i]) and _inside(points[i]) for i in range(len(points))]
    for i, (a, b) in enumerate(FINGERS):
        if shown[a] and shown[b]:
            ends = [(int(p[0]), int(p[1])) for p in (points[a], points[b])]
            cv2.line(out, ends[0], ends[1], _rainbow(i / len(FINGERS)), thickness=2)
    for point, there_too in zip(points, shown, strict=True):
        if there_too:
            _disc(out, point, RADIUS, (0, 0, 255))


def _rainbow(hue: float) -> tuple[float, float, float]:
    """The full colour of a hue in [0, 1), 0..255."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(hue, 1.0, 1.0)
    return red * 255, green * 255, blue * 255
