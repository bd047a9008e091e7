"""Bodies that no kind of the cast has: any trunk, limbs, hands, feet, head, ears and tail on given bones.

Local frames: a limb's x runs along its bone; a head is built in (forward, up), see `face`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motionkit.sprites.looks import RGB, any_colour
from motionkit.sprites.shapes import Part, box, capsule, egg, ellipse, rounded, tone, triangle, within
from motionkit.sprites.skeleton import BONES, Body

DARK: RGB = (26, 24, 28)
Shape = Callable[[np.ndarray], np.ndarray]


def face(body: Body) -> Shape:
    """The map from a head's (forward, up), origin in its middle, to the frame of its bone."""
    length = body.length["head"]
    if body.template == "quadruped":
        return lambda p: p + [0.45 * length, 0.0]
    return lambda p: np.stack([p[:, 1] + 0.5 * length, -p[:, 0]], -1)


def free_parts(body: Body, rgb: RGB, rng: np.random.Generator) -> list[Part]:
    """Any head, ears, trunk, limbs, hands, feet and tail on the bones of a body."""
    quad = body.template == "quadruped"
    return [*_free_limbs(body, rgb, quad, rng), *_free_trunk(body, rgb, quad, rng), *free_head(body, rgb, quad, rng)]


def _limb(length: float, r0: float, r1: float, form: int) -> np.ndarray:
    if form == 1:
        return rounded(-0.6 * r0, -r0, length + 0.6 * r1, r0, 5.0)
    return capsule(length, r0, r1)


def _free_limbs(body: Body, rgb: RGB, quad: bool, rng: np.random.Generator) -> list[Part]:
    thick = float(np.exp(rng.uniform(np.log(0.022), np.log(0.09))))
    form, taper, bulge = int(rng.integers(0, 4)), rng.uniform(0.55, 1.1), rng.uniform(0.9, 1.5)
    near = rng.uniform(0.78, 1.1)
    shade = {"near": near, "far": near * rng.uniform(0.55, 0.93)}
    colour = {n: any_colour(rng) if rng.uniform() < 0.2 else rgb for n in ("arm", "leg")}
    lower = {n: any_colour(rng) if rng.uniform() < 0.2 else colour[n] for n in ("arm", "leg")}
    end = any_colour(rng) if rng.uniform() < 0.45 else rgb
    ends, size = {n: int(rng.integers(0, 4)) for n in ("arm", "leg")}, rng.uniform(1.0, 1.7)
    wide = {"arm": 1.0 if quad else rng.uniform(0.6, 1.0), "leg": 1.0}
    parts = []
    for side, z in (("far", 0.0), ("near", 6.0)):
        for i, (first, second, limb) in enumerate((("arm", "forearm", "arm"), ("leg", "shin", "leg"))):
            upper, under, group = BONES.index(f"{first}_{side}"), BONES.index(f"{second}_{side}"), f"{limb}_{side}"
            long, short = body.length[BONES[upper]], body.length[BONES[under]]
            r, at = thick * wide[limb], z + 0.5 * i
            parts.append(Part(upper, _limb(long, r * bulge, r, form), tone(colour[limb], shade[side]), at, True, group))
            parts.append(
                Part(under, _limb(short, r, r * taper, form), tone(lower[limb], shade[side]), at + 0.1, True, group)
            )
            paw = max(r, 0.03) * size
            shapes = (
                ellipse(short, 0, paw, paw, 14),
                ellipse(short, 0.6 * paw, 0.75 * paw, 1.4 * paw, 16),
                rounded(short - 0.7 * paw, -0.8 * paw, short + 0.5 * paw, 1.9 * paw),
            )
            if ends[limb] < 3:
                shape = shapes[ends[limb]] if limb == "leg" or quad else shapes[0]
                parts.append(Part(under, shape, tone(end, shade[side]), at + 0.2, True, group))
    return parts


def _free_trunk(body: Body, rgb: RGB, quad: bool, rng: np.random.Generator) -> list[Part]:
    torso, neck, tail = (body.length[b] for b in ("torso", "neck", "tail"))
    half = rng.uniform(0.08, 0.21) if quad else rng.uniform(0.075, 0.2)
    over = rng.uniform(0.03, 0.12)
    forms = (
        ellipse(torso / 2, 0, torso / 2 + over, half, 24),
        rounded(-over, -half, torso + over, half, rng.uniform(2.5, 5)),
        egg(torso * rng.uniform(0.3, 0.7), 0, torso * 0.5 + over, torso * 0.5 + over, half),
        capsule(torso, half * rng.uniform(0.7, 1.2), half * rng.uniform(0.7, 1.2), 12),
    )
    colour = any_colour(rng) if not quad and rng.uniform() < 0.3 else rgb  # a shirt
    parts = [Part(0, forms[int(rng.integers(4))], colour, 3.0, True, "trunk")]
    wide = half * rng.uniform(0.3, 0.7)
    collar = half * rng.uniform(0.45, 0.9) if quad else wide
    parts.append(Part(1, capsule(neck, collar, wide), tone(rgb, rng.uniform(0.85, 1.1)), 3.1, True, "trunk"))
    if rng.uniform() < 0.35:  # a belly, a saddle, a shell
        up = rng.uniform(-0.5, 0.7) * half
        patch = within(ellipse(torso * rng.uniform(0.3, 0.7), up, torso * 0.4, half * 0.7), 0.97 * parts[0].outline)
        if patch is not None:
            parts.append(Part(0, patch, tone(colour, rng.uniform(0.5, 1.6)), 3.05, False, "trunk"))
    if rng.uniform() < (0.85 if quad else 0.45):
        r = rng.uniform(0.015, 0.06)
        parts.append(Part(11, capsule(tail, r, r * rng.uniform(0.4, 1.6)), tone(rgb, rng.uniform(0.6, 1.1)), 1.0))
        if rng.uniform() < 0.35:
            parts.append(Part(11, ellipse(tail, 0, 1.8 * r, 1.5 * r, 14), any_colour(rng), 1.1))
    return parts


def free_head(body: Body, rgb: RGB, quad: bool, rng: np.random.Generator) -> list[Part]:
    """Skull, muzzle, ears, eyes, mouth, hair; of any shape."""
    to_bone, head = face(body), body.length["head"]
    skin = (236, 194, 158) if not quad and rng.uniform() < 0.25 else tone(rgb, rng.uniform(0.85, 1.25))
    rx = head * (rng.uniform(0.36, 0.62) if quad else rng.uniform(0.38, 0.6))
    ry = head * (rng.uniform(0.3, 0.6) if quad else rng.uniform(0.42, 0.68))
    form = int(rng.integers(4))
    skull = (
        ellipse(0, 0, rx, ry, 24),
        rounded(-rx, -ry, rx, ry, rng.uniform(2.5, 5)),
        egg(0, 0, 0.85 * rx, 1.35 * rx, ry),
        ellipse(0, 0, rx, ry, 24),
    )[form]
    pieces = [(skull, skin, 4.0, True)]
    if rng.uniform() < (0.7 if quad else 0.4):
        long, deep = rx * rng.uniform(0.4, 1.0), ry * rng.uniform(0.3, 0.7)
        pieces.append((ellipse(0.8 * rx, -0.3 * ry, long, deep, 18), tone(skin, rng.uniform(0.8, 1.35)), 4.2, True))
        if rng.uniform() < 0.6:
            r = rng.uniform(0.12, 0.3) * ry
            pieces.append((ellipse(0.8 * rx + 0.9 * long, -0.2 * ry, r, r, 12), DARK, 4.3, False))
    elif rng.uniform() < 0.5:  # a beak or a nose
        tip = rx * rng.uniform(1.2, 1.7)
        beak = triangle((0.75 * rx, 0.2 * ry), (0.75 * rx, -0.35 * ry), (tip, -0.15 * ry))
        pieces.append((beak, any_colour(rng) if rng.uniform() < 0.5 else skin, 4.1, True))
    pieces += _ears(rx, ry, rgb, rng) + _features(rx, ry, rng)
    return [Part(2, to_bone(shape), colour, z, ink, "trunk" if z == 4.0 else "") for shape, colour, z, ink in pieces]


def _ears(rx: float, ry: float, rgb: RGB, rng: np.random.Generator) -> list[tuple]:
    form, long, wide = int(rng.integers(6)), ry * rng.uniform(0.5, 1.5), rx * rng.uniform(0.2, 0.5)
    if form == 5:
        return []
    colour = tone(rgb, rng.uniform(0.5, 1.2)) if rng.uniform() < 0.8 else any_colour(rng)
    out = []
    for at, z in ((-0.55, 4.4), (rng.uniform(-0.35, 0.35), 3.9)):
        x, lean = at * rx, rng.uniform(-0.2, 0.2) * rx
        if form < 2:
            shape = triangle((x - wide, 0.6 * ry), (x + wide, 0.7 * ry), (x + lean, 0.7 * ry + long))
        elif form == 2:
            shape = ellipse(x, 0.9 * ry, wide, wide * rng.uniform(0.8, 1.2), 16)
        elif form == 3:
            shape = ellipse(x + lean, 0.8 * ry + 0.6 * long, 0.6 * wide, 0.7 * long, 18)
        else:
            shape = ellipse(x - 0.2 * rx, -0.1 * ry, 0.7 * wide, 0.7 * long, 18)  # hanging
            z = 4.4
        out.append((shape, tone(colour, 1.0 if z > 4 else 0.85), z, True))
    return out


def _features(rx: float, ry: float, rng: np.random.Generator) -> list[tuple]:
    out: list[tuple] = []
    r, x, y = ry * rng.uniform(0.08, 0.3), rx * rng.uniform(0.15, 0.5), ry * rng.uniform(0.05, 0.4)
    style, both = int(rng.integers(4)), rng.uniform() < 0.4
    for at in (x, x - rx * rng.uniform(0.5, 0.8))[: 2 if both else 1]:
        if style == 1:
            out.append((ellipse(at, y, r, r * 1.15, 14), (250, 250, 250), 5.4, False))
            out.append((ellipse(at + 0.3 * r, y, 0.5 * r, 0.55 * r, 10), DARK, 5.5, False))
        elif style == 2:
            out.append((box(at - r, y, at + r, y + 0.4 * r), DARK, 5.5, False))
        elif style == 0:
            out.append((ellipse(at, y, 0.6 * r, 0.6 * r, 10), DARK, 5.5, False))
    if rng.uniform() < 0.4:
        out.append((box(0.25 * rx, -0.55 * ry, 0.8 * rx, -0.48 * ry), DARK, 5.3, False))
    if rng.uniform() < 0.3:  # hair, a hat, a mane
        high = ry * rng.uniform(0.3, 0.9)
        shape = rounded(-rx * rng.uniform(0.8, 1.3), 0.5 * ry, rx * rng.uniform(0.4, 1.0), ry + high, rng.uniform(2, 5))
        out.append((shape, any_colour(rng), float(rng.choice((3.8, 4.5))), True))
    return out
