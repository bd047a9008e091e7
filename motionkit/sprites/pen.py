"""Line drawings as people make them: pens of several widths, shaken contours, open strokes, parts filled in.

Everything is black or grey on white paper, as line drawings are handed to a method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from motionkit.sprites.shapes import SHIFT, SUPERSAMPLE, Part, vertices, wobbly
from motionkit.sprites.skeleton import BONES
from motionkit.sprites.styled import groups

SMALL = 2.2  # what is not this many widths of the pen across is a dot


@dataclass(frozen=True)
class Pen:
    """How a drawing is made; lengths are pixels of a frame of 128.

    Attributes:
        width: of a stroke.
        shake: how far a contour is from the true one.
        boil: every frame is drawn anew; else the contour keeps its shape as its part moves.
        again: a second, open stroke follows the first.
        pressure: the width varies along a stroke by at most this share.
        gaps: share of a contour that is left open.
        filled: share of the parts that are filled: black, grey or hatched, each one always the same.
        whole: limbs are drawn as wholes, without a line at their joint.
        ink: level of the ink, 0 is black.
        seed: of everything that is drawn at random.
    """

    width: float = 2.0
    shake: float = 0.0
    boil: bool = False
    again: bool = False
    pressure: float = 0.0
    gaps: float = 0.0
    filled: float = 0.0
    whole: bool = True
    ink: int = 0
    seed: int = 0


def hand_pen(rng: np.random.Generator, width: tuple[float, float] = (1.0, 3.0)) -> Pen:
    """A pen and a hand drawn at random; `width` are the least and the widest stroke."""
    some = rng.uniform(size=6)
    return Pen(
        width=float(rng.uniform(*width)),
        shake=float(rng.uniform(0.2, 1.3)) if some[0] < 0.75 else 0.0,
        boil=bool(some[1] < 0.3),
        again=bool(some[2] < 0.2),
        pressure=float(rng.uniform(0.1, 0.5)) if some[3] < 0.5 else 0.0,
        gaps=float(rng.uniform(0.03, 0.15)) if some[4] < 0.25 else 0.0,
        filled=float(rng.uniform(0.1, 0.5)) if some[5] < 0.3 else 0.0,
        whole=bool(rng.uniform() < 0.6),
        ink=int(rng.integers(0, 70)),
        seed=int(rng.integers(2**31)),
    )


def whole_limbs(parts: Sequence[Part]) -> list[Part]:
    """The parts with each limb as one group, where they name none."""
    out = []
    for part in parts:
        name = BONES[part.bone].replace("forearm", "arm").replace("shin", "leg")
        limb = name if name.startswith(("arm", "leg")) and part.ink else ""
        out.append(replace(part, group=part.group or limb))
    return out


def draw(parts: Sequence[Part], pen: Pen, matrices: np.ndarray, size: int) -> np.ndarray:
    """One drawing (size, size, 3) uint8 from bone matrices (12, 2, 3); nearer parts hide the lines behind them."""
    big = np.full((size * SUPERSAMPLE, size * SUPERSAMPLE), 255, np.uint8)
    unit = SUPERSAMPLE * size / 128
    frame = int(abs(matrices[..., 2]).sum() * 16) if pen.boil else 0
    for group in groups(whole_limbs(parts) if pen.whole else list(parts), pen.whole):
        drawn = []
        for number, part in group:
            points = vertices(part.outline, matrices[part.bone], SUPERSAMPLE) / (1 << SHIFT)
            across = np.ptp(part.outline, axis=0).min() * np.linalg.norm(matrices[part.bone, :, 0]) * SUPERSAMPLE
            if across < SMALL * pen.width * unit:
                dark = part.ink or sum(part.colour) < 300  # highlights are not drawn
                _dot(big, points, pen, dark and across > 0.5 * pen.width * unit)
            elif part.ink:
                rng = np.random.default_rng((pen.seed, number, frame))
                drawn.append((number, wobbly(points, rng, pen.shake * unit) if pen.shake else points, rng))
        for _, points, rng in drawn:
            _stroke(big, points, pen, 2 * pen.width * unit, rng)
        for number, points, _ in drawn:  # removes the inner half of the contours
            cv2.fillPoly(big, [_fixed(points)], 255, cv2.LINE_AA, SHIFT)
            _fill(big, points, pen, number, unit)
        for _, points, rng in drawn if pen.again else ():
            other = wobbly(points, rng, (0.6 + pen.shake) * unit)
            start = int(rng.integers(len(other)))
            cut = np.roll(other, start, 0)[: int(len(other) * rng.uniform(0.4, 0.8))]
            wide = max(1, round(0.7 * pen.width * unit))
            cv2.polylines(big, [_fixed(cut)], False, pen.ink, wide, cv2.LINE_AA, SHIFT)
    small = cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA)
    return np.repeat(small[..., None], 3, -1)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def _dot(big: np.ndarray, points: np.ndarray, pen: Pen, shown: bool) -> None:
    """An eye, a nose: too small for a contour."""
    if shown:
        cv2.fillPoly(big, [_fixed(points)], pen.ink, cv2.LINE_AA, SHIFT)


def _stroke(big: np.ndarray, points: np.ndarray, pen: Pen, wide: float, rng: np.random.Generator) -> None:
    """A closed contour; in pieces where the hand presses unevenly or leaves it open."""
    if not pen.pressure and not pen.gaps:
        cv2.polylines(big, [_fixed(points)], True, pen.ink, max(1, round(wide)), cv2.LINE_AA, SHIFT)
        return
    even = points if len(points) >= 32 else wobbly(points, rng, 0.0)
    count, phase = len(even), rng.uniform(0, 2 * np.pi)
    start, length = int(rng.integers(count)), round(pen.gaps * count)
    closed = np.concatenate([even, even[:1]])
    for i in range(0, count, 2):
        if (i - start) % count < length:
            continue
        now = wide * (1 + pen.pressure * np.sin(2 * np.pi * i / count + phase))
        cv2.polylines(big, [_fixed(closed[i : i + 3])], False, pen.ink, max(1, round(now)), cv2.LINE_AA, SHIFT)


def _fill(big: np.ndarray, points: np.ndarray, pen: Pen, number: int, unit: float) -> None:
    """A part that is filled: black, grey, or hatched."""
    rng = np.random.default_rng((pen.seed, number))
    if rng.uniform() >= pen.filled:
        return
    way = rng.integers(3)
    if way < 2:
        level = pen.ink if way == 0 else int(rng.integers(110, 200))
        cv2.fillPoly(big, [_fixed(points)], level, cv2.LINE_AA, SHIFT)
        return
    inside = np.zeros(big.shape, np.uint8)
    cv2.fillPoly(inside, [_fixed(points)], 1, cv2.LINE_8, SHIFT)
    y, x = np.ogrid[: len(big), : len(big)]
    step, slope = (pen.width + rng.uniform(1.5, 4)) * unit, rng.uniform(-1, 1)
    lines = (x + slope * y) % step < 0.6 * pen.width * unit
    big[(inside > 0) & lines] = pen.ink
