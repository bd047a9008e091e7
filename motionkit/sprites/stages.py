"""Stages: the background of a character of a varied look, from plain ground to clutter, drawn from a seed."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from motionkit.sprites.looks import RGB, Stage, any_colour
from motionkit.sprites.shapes import tone

Ground = tuple[float, float, float]  # of the ground: y at the left border, y at the right border, width; pixels


@lru_cache(maxsize=64)
def stage_picture(stage: Stage, size: int, ground: Ground) -> np.ndarray:
    """The empty stage (size, size, 3) uint8; read only, as it is kept for the next frame."""
    rng = np.random.default_rng(stage.seed)
    out = np.empty((size, size, 3), np.uint8)
    out[:] = stage.colour
    out = _PAINT[stage.kind](out, stage, rng, ground)
    if stage.line:
        _line(out, (0, ground[0]), (size, ground[1]), stage.line_colour, stage.line * size / 128)
    out.setflags(write=False)
    return out


def _line(out: np.ndarray, a: tuple, b: tuple, colour: RGB, width: float) -> None:
    ends = [tuple(int(round(16 * v)) for v in p) for p in (a, b)]
    cv2.line(out, ends[0], ends[1], colour, max(1, round(width)), cv2.LINE_AA, 4)


def _mix(out: np.ndarray, stage: Stage, share: np.ndarray) -> np.ndarray:
    """Between the two colours, `share` (H, W) in [0, 1] of the second."""
    first, second = np.array(stage.colour, np.float32), np.array(stage.other, np.float32)
    return (first + share[..., None].astype(np.float32) * (second - first)).astype(np.uint8)


def _plain(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    return out


def _gradient(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    line, angle = np.linspace(-0.5, 0.5, len(out)), rng.uniform(0, 2 * np.pi)
    ramp = np.add.outer(np.sin(angle) * line, np.cos(angle) * line)
    return _mix(out, stage, np.clip(ramp + 0.5, 0, 1))


def _radial(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    line, (cx, cy) = np.linspace(0, 1, len(out)), rng.uniform(0.2, 0.8, 2)
    far = np.sqrt(np.add.outer((line - cy) ** 2, (line - cx) ** 2)) / rng.uniform(0.5, 1.0)
    return _mix(out, stage, np.clip(far, 0, 1))


def _clutter(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    """Blobs, boxes, bars and rods of any colour, among them what might be limbs."""
    size, soft = len(out), rng.uniform() < 0.5
    for _ in range(int(rng.integers(4, 18))):
        (x, y), r = rng.uniform(0, size, 2), size * rng.uniform(0.03, 0.22)
        colour = tone(stage.colour, rng.uniform(0.6, 1.4)) if soft else any_colour(rng)
        at, form = (int(x), int(y)), rng.integers(4)
        if form == 0:
            cv2.ellipse(
                out, at, (int(r), int(r * rng.uniform(0.4, 1))), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA
            )
        elif form == 1:
            cv2.rectangle(out, at, (int(x + 2 * r), int(y + r * rng.uniform(0.5, 3))), colour, -1, cv2.LINE_AA)
        elif form == 2:
            corners = np.array([x, y]) + rng.normal(0, r, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(out, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        else:
            end = np.array([x, y]) + rng.normal(0, 2 * r, 2)
            _line(out, (x, y), tuple(end), colour, size * rng.uniform(0.008, 0.06))
    return out


def _noise(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    """Colour noise of several scales, each half as strong as the coarser one: as in the background of a photograph."""
    size, field = len(out), np.zeros((len(out), len(out), 3), np.float32)
    strength = rng.uniform(15, 55)
    for octave in (2, 4, 8, 16, 32):
        cell = rng.normal(0, 1, (octave, octave, 3)).astype(np.float32)
        grey = cell.mean(-1, keepdims=True)
        field += strength * cv2.resize(0.6 * grey + 0.4 * cell, (size, size), interpolation=cv2.INTER_CUBIC)
        strength *= 0.6
    return np.clip(out + field, 0, 255).astype(np.uint8)


def _scenery(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    """Sky, hills, perhaps a sun, clouds or trees, and the ground to stand on."""
    size = len(out)
    out = _mix(out, stage, np.repeat(np.linspace(0, rng.uniform(0, 0.6), size)[:, None], size, 1))
    for _ in range(int(rng.integers(0, 4))):
        at = (int(rng.uniform(0, size)), int(rng.uniform(0, 0.4 * size)))
        axes = (int(size * rng.uniform(0.06, 0.16)), int(size * rng.uniform(0.03, 0.09)))
        cv2.ellipse(out, at, axes, 0, 0, 360, tone(stage.colour, rng.uniform(1.2, 1.8)), -1, cv2.LINE_AA)
    x, low = np.linspace(0, 1, 24), max(ground[0], ground[1])
    for _ in range(int(rng.integers(0, 3))):
        top = low - size * (0.12 + 0.1 * np.sin(x * rng.uniform(3, 9) + rng.uniform(0, 6)) + rng.uniform(0, 0.2))
        hill = np.stack([x * size, top], -1)
        hill = np.concatenate([hill, [[size, size], [0, size]]]).astype(np.int32)
        cv2.fillPoly(out, [hill], tone(stage.other, rng.uniform(0.7, 1.3)), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 3))):  # trees, posts
        x0, high = rng.uniform(0, size), size * rng.uniform(0.2, 0.6)
        _line(out, (x0, low), (x0, low - high), any_colour(rng, (0.2, 0.6)), size * rng.uniform(0.01, 0.05))
        crown = (int(x0), int(low - high)), (int(size * rng.uniform(0.04, 0.12)),) * 2
        cv2.ellipse(out, *crown, 0, 0, 360, any_colour(rng, (0.3, 0.8)), -1, cv2.LINE_AA)
    return _floor(out, tone(any_colour(rng, (0.3, 0.95), 0.7), rng.uniform(0.7, 1.3)), ground, rng)


def _floor(out: np.ndarray, colour: RGB, ground: Ground, rng: np.random.Generator) -> np.ndarray:
    """The ground from a little above where the feet stand down to the border, in one colour."""
    size, up = len(out), len(out) * rng.uniform(0, 0.06)
    edge = np.array([[0, ground[0] - up], [size, ground[1] - up], [size, size + 1], [0, size + 1]])
    cv2.fillPoly(out, [edge.astype(np.int32)], colour, cv2.LINE_AA)
    return out


def _room(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    size = len(out)
    for _ in range(int(rng.integers(0, 3))):  # windows, pictures, doors
        x, y = rng.uniform(0, 0.8, 2) * size
        corner = (int(x + size * rng.uniform(0.1, 0.3)), int(y + size * rng.uniform(0.1, 0.35)))
        cv2.rectangle(out, (int(x), int(y)), corner, any_colour(rng, (0.4, 1.0), 0.6), -1)
        cv2.rectangle(out, (int(x), int(y)), corner, tone(stage.colour, 0.5), max(1, size // 100))
    return _floor(out, stage.other, ground, rng)


def _checks(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    size = len(out)
    cell = max(2, int(size * rng.uniform(0.04, 0.16)))
    odd = np.add.outer(np.arange(size) // cell, np.arange(size) // cell) % 2
    return _mix(out, stage, odd * rng.uniform(0.2, 0.8))


def _stripes(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    size, angle = len(out), rng.uniform(0, np.pi)
    phase = np.add.outer(np.sin(angle) * np.arange(size), np.cos(angle) * np.arange(size)) / (
        size * rng.uniform(0.05, 0.2)
    )
    return _mix(out, stage, (np.sin(2 * np.pi * phase) > 0) * rng.uniform(0.15, 0.7))


def _paper(out: np.ndarray, stage: Stage, rng: np.random.Generator, ground: Ground) -> np.ndarray:
    """Ruled or squared paper, perhaps with a stain."""
    size, cell = len(out), len(out) * rng.uniform(0.05, 0.12)
    colour, both = tone(stage.colour, rng.uniform(0.75, 0.94)), rng.uniform() < 0.5
    for at in np.arange(rng.uniform(0, cell), size, cell):
        _line(out, (0, at), (size, at), colour, 1)
        if both:
            _line(out, (at, 0), (at, size), colour, 1)
    return out


_PAINT = {
    "plain": _plain,
    "gradient": _gradient,
    "radial": _radial,
    "clutter": _clutter,
    "noise": _noise,
    "scenery": _scenery,
    "room": _room,
    "checks": _checks,
    "stripes": _stripes,
    "paper": _paper,
}
