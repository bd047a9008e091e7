"""Drawing of one frame in a `Look`: stage, shadow, fills and contours by a machine or by hand, then light and damage.

The mask of a contour belongs to its part: what is painted and what the part codes say is the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import cv2
import numpy as np

from motionkit.sprites.looks import RGB, Look
from motionkit.sprites.shapes import SHIFT, SUPERSAMPLE, Part, tone, vertices, wobbly
from motionkit.sprites.stages import Ground, stage_picture

Group = list[tuple[int, Part]]  # parts with their numbers


def groups(parts: Sequence[Part], union: bool) -> list[Group]:
    """Parts by painter's order; with `union` the parts of one group are drawn together, at the place of its first."""
    found: dict[object, Group] = {}
    loose = count()
    for number, part in sorted(enumerate(parts), key=lambda item: item[1].z):
        found.setdefault((part.group if union else "") or next(loose), []).append((number, part))
    return list(found.values())


def paint(parts: Sequence[Part], look: Look, matrices: np.ndarray, size: int, ground: Ground) -> np.ndarray:
    """One frame (size, size, 3) uint8 from bone matrices (12, 2, 3)."""
    factor = SUPERSAMPLE
    big = cv2.resize(stage_picture(look.stage, size, ground), None, fx=factor, fy=factor)
    if look.shadow:
        big = _shadow(big, parts, look, matrices, factor, ground)
    for group in groups(parts, look.pen == "union"):
        if look.pen != "none" and not look.strokes:
            _rim(big, group, look, matrices, factor, size)
        for number, part in group:
            points = vertices(part.outline, matrices[part.bone], factor)
            _fill(big, points, number, part, look, factor * size / 128)
            if look.pen != "none" and look.strokes and part.ink:
                _by_hand(big, points, number, part, look, factor * size / 128)
    return spoilt(cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA), look)


def paint_codes(parts: Sequence[Part], look: Look, matrices: np.ndarray, size: int) -> np.ndarray:
    """Index of the visible bone at each pixel (size, size) int16, -1 where there is none; contours are their parts'."""
    codes = np.zeros((size, size), np.uint8)
    wide = 0 if look.pen == "none" else round((1 if look.strokes else 2) * look.width * size / 128)
    for group in groups(parts, look.pen == "union"):
        drawn = [(vertices(part.outline, matrices[part.bone], 1), part) for _, part in group]
        for points, part in drawn:
            if wide > 1 and part.ink:
                cv2.polylines(codes, [points], True, part.bone + 1, wide, cv2.LINE_8, SHIFT)
        for points, part in drawn:
            cv2.fillPoly(codes, [points], part.bone + 1, cv2.LINE_8, SHIFT)
    return codes.astype(np.int16) - 1


def _ink(part: Part, look: Look) -> RGB:
    return look.ink if look.ink is not None else tone(part.colour, 0.42)


def _rim(big: np.ndarray, group: Group, look: Look, matrices: np.ndarray, factor: int, size: int) -> None:
    """The contour around a whole group: drawn twice as wide first, its inner half is painted over."""
    wide = max(1, round(2 * look.width * factor * size / 128))
    for _, part in group:
        if part.ink:
            points = vertices(part.outline, matrices[part.bone], factor)
            cv2.polylines(big, [points], True, _ink(part, look), wide, cv2.LINE_AA, SHIFT)


def _fill(big: np.ndarray, points: np.ndarray, number: int, part: Part, look: Look, unit: float) -> None:
    """One part in its colour or in the paper's; marks without a contour keep their colour."""
    colour = part.colour
    if part.ink and (look.fill == "paper" or (look.fill == "partial" and _draw(look, number).uniform() > 0.35)):
        colour = look.stage.colour
    if look.fill == "offset" and part.ink:
        points = points + np.rint(np.multiply(look.shift, unit * (1 << SHIFT))).astype(np.int32)
    cv2.fillPoly(big, [points], colour, cv2.LINE_AA, SHIFT)


def _by_hand(big: np.ndarray, points: np.ndarray, number: int, part: Part, look: Look, unit: float) -> None:
    """The contour as a hand draws it: each stroke beside the true one, its width not quite the same."""
    flat = points / (1 << SHIFT)
    for stroke in range(look.strokes):
        # Two strokes are sketched anew in each frame, one stroke keeps its shape as the part moves.
        rng = _draw(look, number, stroke, int(abs(flat.sum())) if look.strokes > 1 else 0)
        shaken = np.rint(wobbly(flat, rng, look.shake * unit) * (1 << SHIFT)).astype(np.int32)
        wide = max(1, round(look.width * unit * rng.uniform(0.7, 1.2)))
        if stroke:  # the second one leaves gaps
            shaken, closed = np.roll(shaken, int(rng.integers(len(shaken))), 0)[: int(0.8 * len(shaken))], False
        else:
            closed = True
        cv2.polylines(big, [shaken], closed, _ink(part, look), wide, cv2.LINE_AA, SHIFT)


def _draw(look: Look, *key: int) -> np.random.Generator:
    return np.random.default_rng((look.seed, *key))


def _shadow(
    big: np.ndarray, parts: Sequence[Part], look: Look, matrices: np.ndarray, factor: int, ground: Ground
) -> np.ndarray:
    """A soft patch on the ground below the character."""
    x = np.concatenate([(p.outline @ matrices[p.bone, :, :2].T + matrices[p.bone, :, 2])[:, 0] for p in parts]) * factor
    left, right = float(np.quantile(x, 0.1)), float(np.quantile(x, 0.9))
    middle, half = (left + right) / 2, max(2.0, (right - left) / 2)
    y = factor * (ground[0] + (ground[1] - ground[0]) * middle / len(big))
    patch = np.zeros(big.shape[:2], np.uint8)
    axes = (int(half), max(1, int(half * 0.16)))
    cv2.ellipse(patch, (int(middle), int(y)), axes, 0, 0, 360, round(255 * look.shadow), -1, cv2.LINE_AA)
    return cv2.multiply(big, cv2.cvtColor(255 - patch, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def spoilt(frame: np.ndarray, look: Look) -> np.ndarray:
    """A painted frame (H, W, 3) uint8 in its light, coarse, blurred, grainy and compressed as its look says."""
    size = len(frame)
    if look.low < 1:
        small = max(8, round(look.low * size))
        frame = cv2.resize(cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if look.blur:
        frame = cv2.GaussianBlur(frame, (0, 0), look.blur * size / 128)
    if look.light or look.grain or look.contrast != 1 or look.bright:
        frame = _levels(frame, look)
    if look.jpeg:
        quality = (cv2.IMWRITE_JPEG_QUALITY, look.jpeg)
        coded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality)[1]
        frame = cv2.cvtColor(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return frame


def _levels(frame: np.ndarray, look: Look) -> np.ndarray:
    size = len(frame)
    out = (frame.astype(np.float32) - 128) * look.contrast + 128 + look.bright
    if look.light:
        line = np.linspace(-1, 1, size, dtype=np.float32)
        ramp = np.add.outer(np.sin(look.light_from) * line, np.cos(look.light_from) * line)
        out *= (1 + look.light * ramp / 1.4)[..., None]
    if look.grain:
        out += look.grain * _draw(look, 1).standard_normal((size, size, 1), dtype=np.float32)
    return np.clip(out, 0, 255).astype(np.uint8)
