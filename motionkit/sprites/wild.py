"""The `wild` setting: a character of the cast in other shapes, colours and textures, and in a look drawn at random.

A network cannot memorise what varies from clip to clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from motionkit.sprites.free_bodies import free_parts
from motionkit.sprites.looks import RGB, Look, any_colour, wild_look
from motionkit.sprites.pen import whole_limbs
from motionkit.sprites.shapes import Part, box, ellipse, tone, within, wobbly
from motionkit.sprites.skeleton import BONES, Body


def thickness(rng: np.random.Generator) -> float:
    """A factor on the thickness of limbs: sticks to sausages."""
    return float(np.exp(rng.uniform(np.log(0.5), np.log(1.9))))


def dress(body: Body, parts: list[Part], rgb: RGB, rng: np.random.Generator) -> tuple[list[Part], Look]:
    """A character of the cast drawn anew: its own shapes or others, other colours, textures, and a look."""
    if body.template != "sheet" and rng.uniform() < 0.65:
        parts = free_parts(body, rgb, rng)
    else:
        parts = recoloured(parts, rgb, rng)
        parts = [replace(p, group="sheet") for p in parts] if body.template == "sheet" else whole_limbs(parts)
    parts = [p for part in parts for p in (part, *texture(part, rng))] if rng.uniform() < 0.6 else parts
    if rng.uniform() < 0.3:  # cut out by hand
        by = rng.uniform(0.004, 0.014)
        parts = [Part(p.bone, wobbly(p.outline, rng, by), p.colour, p.z, p.ink, p.group) if p.ink else p for p in parts]
    return parts, wild_look(rng, rgb)


def recoloured(parts: list[Part], rgb: RGB, rng: np.random.Generator) -> list[Part]:
    """The same shapes in tones of their own; now and then a bone's parts are of another colour."""
    other = {bone: any_colour(rng) for bone in range(len(BONES)) if rng.uniform() < 0.12}
    jitter, flat = rng.uniform(0, 0.2), rng.uniform(0.0, 1.0) if rng.uniform() < 0.4 else 0.0
    out = []
    for part in parts:
        colour = np.array(other.get(part.bone, part.colour), float)
        far = 0.8 if BONES[part.bone].endswith("_far") else 1.0
        colour += flat * (np.multiply(rgb, far) - colour) if part.ink and part.bone not in other else 0.0
        colour = np.clip(colour * (1 + jitter * rng.normal()), 0, 255)
        big = np.ptp(part.outline, axis=0).min() > 0.035  # eyes and the like have no contour
        r, g, b = (int(c) for c in colour)
        out.append(Part(part.bone, part.outline, (r, g, b), part.z, big))
    return out


def texture(part: Part, rng: np.random.Generator) -> list[Part]:
    """Stripes, spots, a shaded side, a highlight or a gradient on one part, cut to its outline; often nothing."""
    share = 0.6 if part.bone in (0, 2) else 0.3
    if not part.ink or np.ptp(part.outline, axis=0).min() < 0.05 or rng.uniform() > share:
        return []
    centre = part.outline.mean(0)
    inside = centre + 0.94 * (part.outline - centre)
    if not _is_convex(inside):
        return []  # only convex outlines are cut exactly
    near = rng.uniform() < 0.7
    paint = tone(part.colour, rng.uniform(0.5, 0.85) if rng.uniform() < 0.6 else rng.uniform(1.15, 1.6))
    paint = paint if near else any_colour(rng)
    pieces = _TEXTURES[rng.integers(len(_TEXTURES))](part, paint, rng)
    cuts = [(within(shape, inside), colour) for shape, colour in pieces]
    return [Part(part.bone, c, colour, part.z + 0.005, False, part.group) for c, colour in cuts if c is not None]


def _is_convex(outline: np.ndarray) -> bool:
    (ax, ay), (bx, by) = (np.roll(outline, -1, 0) - outline).T, (np.roll(outline, -2, 0) - np.roll(outline, -1, 0)).T
    turn = ax * by - ay * bx
    return not ((turn > 1e-9).any() and (turn < -1e-9).any())


Pieces = list[tuple[np.ndarray, RGB]]  # polygons in the part's frame and their colours


def _stripes(part: Part, paint: RGB, rng: np.random.Generator, across: bool) -> Pieces:
    (x0, y0), (x1, y1) = part.outline.min(0), part.outline.max(0)
    low, high = (x0, x1) if across else (y0, y1)
    step, pieces = (high - low) / rng.integers(3, 7), Pieces()
    for at in np.arange(low + step / 3, high, step):
        wide = step * rng.uniform(0.3, 0.6)
        pieces.append((box(at, y0, at + wide, y1) if across else box(x0, at, x1, at + wide), paint))
    return pieces


def _spots(part: Part, paint: RGB, rng: np.random.Generator) -> Pieces:
    (x0, y0), (x1, y1) = part.outline.min(0), part.outline.max(0)
    pieces = Pieces()
    for _ in range(int(rng.integers(4, 14))):
        r = rng.uniform(0.08, 0.22) * min(x1 - x0, y1 - y0)
        pieces.append((ellipse(rng.uniform(x0, x1), rng.uniform(y0, y1), r, r * rng.uniform(0.7, 1), 10), paint))
    return pieces


def _shade(part: Part, paint: RGB, rng: np.random.Generator) -> Pieces:
    (x0, y0), (x1, y1) = part.outline.min(0), part.outline.max(0)
    edge = y0 + (y1 - y0) * rng.uniform(0.25, 0.5)
    return [(box(x0, y0, x1, edge), tone(part.colour, rng.uniform(0.6, 0.88)))]


def _highlight(part: Part, paint: RGB, rng: np.random.Generator) -> Pieces:
    wide, high = np.ptp(part.outline, axis=0)
    rx, ry = wide * rng.uniform(0.15, 0.35), high * rng.uniform(0.12, 0.25)
    cx, cy = part.outline.mean(0) + rng.uniform(-0.2, 0.2, 2) * [wide, high]
    return [(ellipse(cx, cy, rx, ry, 14), tone(part.colour, rng.uniform(1.2, 1.7)))]


def _gradient(part: Part, paint: RGB, rng: np.random.Generator) -> Pieces:
    (x0, y0), (x1, y1) = part.outline.min(0), part.outline.max(0)
    first, last = rng.uniform(0.6, 1.0), rng.uniform(1.0, 1.5)
    across, pieces = rng.uniform() < 0.5, Pieces()
    for i in range(7):
        cut = box(x0, y0 + (y1 - y0) * i / 7, x1, y0 + (y1 - y0) * (i + 1) / 7 + 1e-3)
        if across:
            cut = box(x0 + (x1 - x0) * i / 7, y0, x0 + (x1 - x0) * (i + 1) / 7 + 1e-3, y1)
        pieces.append((cut, tone(part.colour, first + (last - first) * i / 6)))
    return pieces


_TEXTURES: tuple[Callable[[Part, RGB, np.random.Generator], Pieces], ...] = (
    partial(_stripes, across=True),
    partial(_stripes, across=False),
    _spots,
    _shade,
    _highlight,
    _gradient,
)
