"""Heads of the `foreign` style: a ball with large white eyes, and the ears, horn, trunk or beak of its kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from motionkit.sprites.looks import RGB
from motionkit.sprites.shapes import Part

Shapes = list[tuple[np.ndarray, RGB, float, bool]]  # outline, colour, z and whether it has a contour
_WHITE: RGB = (255, 255, 255)


def circle(x: float, y: float, r: float, stretch: float = 1.0, turn: float = 0.0) -> np.ndarray:
    """A disc of 32 corners, `stretch` longer along `turn`."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    p = np.stack([stretch * r * np.cos(t), r * np.sin(t)], -1)
    c, s = np.cos(turn), np.sin(turn)
    return p @ np.array([[c, s], [-s, c]]) + [x, y]


def pale(colour: RGB, by: float) -> RGB:
    """The colour, so far on the way to white."""
    r, g, b = (int(c + by * (255 - c)) for c in colour)
    return r, g, b


def dim(colour: RGB, by: float) -> RGB:
    """The colour, so many times as bright."""
    r, g, b = (int(min(255, max(0, c * by))) for c in colour)
    return r, g, b


def cartoon_head(kind: str, four: bool, head: float, rgb: RGB) -> list[Part]:
    """A ball with a snout, two large white eyes, a smile and the ears, horn, trunk or beak of its kind."""
    r = 0.56 * head
    skin = (250, 214, 180) if kind == "person" else pale(rgb, 0.12)
    snout = {"horse": 0.75, "giraffe": 0.7, "rhino": 0.75, "elephant": 0.4, "bear": 0.5, "fox": 0.62, "sheep": 0.5}.get(
        kind, 0.38
    )
    out: Shapes = [(circle(0, 0, r, 1.08), skin, 4.0, True)]
    if kind != "bird" and kind != "robot":
        out.append((circle(0.72 * r, -0.32 * r, snout * 0.6 * r, 1.35), pale(skin, 0.4), 4.2, True))
        nose = (0.72 + 0.78 * snout) * r
        out.append((circle(nose, -0.2 * r, 0.13 * r), (40, 30, 34), 4.3, False))
    out += _ears_of(kind, r, rgb)
    for x, z in ((0.5 * r, 5.2), (-0.02 * r, 5.4)):  # both eyes are seen, as in most cartoons
        out.append((circle(x, 0.28 * r, 0.25 * r, 1.2, np.pi / 2), _WHITE, z, True))
        out.append((circle(x + 0.08 * r, 0.25 * r, 0.11 * r), (20, 18, 22), z + 0.1, False))
    out.append((circle(0.42 * r, -0.55 * r, 0.05 * r, 5.0, 0.35), (60, 26, 30), 5.0, False))
    out.append((circle(-0.45 * r, 0.6 * r, 0.1 * r, 1.9, 0.7), pale(skin, 0.7), 5.0, False))
    middle = (lambda p: p + [0.45 * head, 0.0]) if four else (lambda p: np.stack([p[:, 1] + 0.5 * head, -p[:, 0]], -1))
    return [Part(2, middle(shape), colour, z, ink) for shape, colour, z, ink in out]


def _ears_of(kind: str, r: float, rgb: RGB) -> Shapes:
    """What a head of that kind has on it, behind the skull where z is below 4."""
    return _EARS.get(kind, _pointed)(r, rgb, dim(rgb, 0.7))


def _pointed(r: float, rgb: RGB, dark: RGB) -> Shapes:
    ears = ((-0.45, rgb, 3.9), (0.15, dark, 3.7))
    return [(np.array([(x - 0.28, 0.7), (x + 0.28, 0.75), (x - 0.1, 1.55)]) * r, c, z, True) for x, c, z in ears]


def _horned(r: float, rgb: RGB, dark: RGB) -> Shapes:
    horn = np.array([(1.1, 0.0), (1.5, -0.1), (1.55, 0.95)]) * r
    return [*_pointed(r, rgb, dark), (horn, (240, 234, 214), 4.5, True)]


def _long(r: float, rgb: RGB, dark: RGB) -> Shapes:
    ears = ((0.1 * r, dark, 3.7), (-0.4 * r, rgb, 3.8))
    return [(circle(x, 1.65 * r, 0.26 * r, 3.0, 1.5), c, z, True) for x, c, z in ears]


def _round(r: float, rgb: RGB, dark: RGB, x: float, y: float) -> Shapes:
    return [(circle(-x * r, y * r, 0.36 * r), dark, 3.8, True), (circle(0.45 * r, 0.9 * r, 0.3 * r), dark, 3.7, True)]


def _with_trunk(r: float, rgb: RGB, dark: RGB) -> Shapes:
    hose = [(circle(1.15 * r, -0.7 * r - 0.35 * r * i, 0.3 * r - 0.03 * r * i), rgb, 4.15, True) for i in range(4)]
    return [(circle(-0.75 * r, 0.0, 0.75 * r, 1.2, np.pi / 2), dark, 4.6, True), *hose]


def _beaked(r: float, rgb: RGB, dark: RGB) -> Shapes:
    beak = np.array([(0.8, 0.25), (1.75, 0.0), (0.8, -0.35)]) * r
    return [(beak, (246, 170, 40), 4.2, True), (circle(-0.2 * r, 1.05 * r, 0.16 * r, 2.2, 2.0), dark, 3.8, True)]


def _with_aerial(r: float, rgb: RGB, dark: RGB) -> Shapes:
    pole = np.array([(-0.06, 0.9), (0.06, 0.9), (0.06, 1.5), (-0.06, 1.5)]) * r
    return [(pole, dark, 3.8, True), (circle(0, 1.55 * r, 0.16 * r), (230, 60, 60), 3.9, True)]


def _with_hair(r: float, rgb: RGB, dark: RGB) -> Shapes:
    return [
        (circle(-0.2 * r, 0.62 * r, 0.62 * r, 1.5), (96, 62, 40), 4.5, True),
        (circle(-0.75 * r, 0, 0.2 * r), (250, 214, 180), 4.7, True),
    ]


_EARS: dict[str, Callable[[float, RGB, RGB], Shapes]] = {  # other kinds have pointed ones
    "rabbit": _long,
    "bear": partial(_round, x=0.8, y=0.75),
    "monkey": partial(_round, x=0.95, y=0.1),
    "elephant": _with_trunk,
    "bird": _beaked,
    "robot": _with_aerial,
    "person": _with_hair,
    "turtle": lambda *_: [],
    "rhino": _horned,
}
