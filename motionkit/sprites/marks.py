"""What tells one kind of animal from another: manes, spots, horns, ears, beaks; a function draws those of one kind.

In a head's frame x runs to the nose or the top of the head; of a two-legged kind y is to the left: the face looks
towards -y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from motionkit.sprites.shapes import Part, box, capsule, ellipse, tone, triangle

TORSO, NECK, HEAD, TAIL = 0, 1, 2, 11  # bones
EYE, IVORY = (24, 24, 28), (250, 246, 232)
ACROSS = np.array([[0, 1], [-1, 0]])  # turns an outline by a right angle


class Build(NamedTuple):
    """What the marks of a kind are measured by: its colour, lengths of its bones, and half the width of its torso."""

    rgb: tuple[int, int, int]
    torso: float
    wide: float
    head: float
    neck: float = 0.0
    tail: float = 0.0


def quadruped_marks(kind: str, build: Build) -> list[Part]:
    """An eye, and what makes a four-legged kind that kind."""
    head = build.head
    eye = Part(HEAD, ellipse(head * 0.55, head * 0.12, 0.022, 0.022, 10), EYE, 5.5)
    return [eye, *_QUADRUPEDS[kind](build, tone(build.rgb, 0.5), tone(build.rgb, 1.5))]


def biped_marks(kind: str, build: Build) -> list[Part]:
    """An eye, and what makes a two-legged kind that kind."""
    head = build.head
    eye = Part(HEAD, ellipse(head * 0.58, -head * 0.22, 0.024, 0.024, 10), EYE, 5.5)
    return [eye, *_BIPEDS[kind](build, tone(build.rgb, 0.5), tone(build.rgb, 1.55))]


Tone = tuple[int, int, int]
Marks = Callable[[Build, Tone, Tone], list[Part]]  # (build, a darker tone of its colour, a lighter one)


def _ear(head: float) -> np.ndarray:
    return triangle((head * 0.0, head * 0.22), (head * 0.3, head * 0.28), (head * 0.02, head * 0.75))


def _horse(b: Build, dark: Tone, light: Tone) -> list[Part]:
    mane = capsule(b.neck, 0.05, 0.05) + [-0.02, 0.08]
    ear = Part(HEAD, _ear(b.head) * [1, 0.8], dark, 3.9)
    return [ear, Part(NECK, mane, dark, 3.3), Part(TAIL, capsule(b.tail, 0.05, 0.06), dark, 1.1)]


_SPOTS = ((0.12, 0.3, 0.05), (0.35, -0.2, 0.045), (0.6, 0.35, 0.05), (0.85, -0.1, 0.045), (0.36, 0.6, 0.035))


def _giraffe(b: Build, dark: Tone, light: Tone) -> list[Part]:
    spots = [Part(TORSO, ellipse(b.torso * x, b.wide * y, r, r, 8), dark, 3.2) for x, y, r in _SPOTS]
    spots += [Part(NECK, ellipse(b.neck * x, 0.0, 0.035, 0.035, 8), dark, 3.6) for x in (0.3, 0.55, 0.8)]
    horn = capsule(0.12, 0.018, 0.028) @ ACROSS + [b.head * 0.15, b.head * 0.3]
    return [*spots, Part(HEAD, horn, dark, 3.9)]


def _elephant(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    trunk = capsule(0.34, 0.06, 0.035) @ np.array([[0.15, -0.99], [0.99, 0.15]]) + [head * 0.9, -0.02]
    ear = ellipse(head * 0.02, 0.0, 0.11, 0.15)
    tusk = triangle((head * 0.75, -0.06), (head * 0.9, -0.03), (head * 1.15, -0.16))
    return [
        Part(HEAD, trunk, tone(b.rgb, 1.05), 4.1),
        Part(HEAD, ear, tone(b.rgb, 0.72), 4.6),
        Part(HEAD, tusk, IVORY, 4.7),
    ]


def _turtle(b: Build, dark: Tone, light: Tone) -> list[Part]:
    shell = ellipse(b.torso / 2, 0.05, b.torso / 2 + 0.05, b.wide + 0.12)
    shell[:, 1] = np.maximum(shell[:, 1], -0.03)
    plates = [ellipse(b.torso * x, 0.12, 0.07, 0.06, 6) for x in (0.22, 0.5, 0.78)]
    return [Part(TORSO, shell, tone(b.rgb, 0.62), 6.5), *(Part(TORSO, p, tone(b.rgb, 0.9), 6.6) for p in plates)]


def _rhino(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    horn = triangle((head * 0.75, head * 0.15), (head * 0.98, head * 0.05), (head * 1.05, head * 0.85))
    ear = Part(HEAD, _ear(head) * [0.8, 0.55], dark, 3.9)
    shoulder = Part(TORSO, ellipse(b.torso * 0.85, 0.03, 0.14, b.wide * 0.9), tone(b.rgb, 0.82), 3.2)
    return [Part(HEAD, horn, IVORY, 5.0), ear, shoulder]


def _two_ears(b: Build, dark: Tone) -> list[Part]:
    ear = _ear(b.head)
    return [Part(HEAD, ear, dark, 3.9), Part(HEAD, ear + [b.head * 0.25, -0.01], tone(b.rgb, 0.8), 4.2)]


def _cat(b: Build, dark: Tone, light: Tone) -> list[Part]:
    stripes = [box(b.torso * x, 0.02, b.torso * x + 0.04, b.wide) for x in (0.2, 0.45, 0.7)]
    return [*_two_ears(b, dark), *(Part(TORSO, stripe, dark, 3.2) for stripe in stripes)]


def _fox(b: Build, dark: Tone, light: Tone) -> list[Part]:
    tip = Part(TAIL, ellipse(b.tail, 0, 0.09, 0.065, 12), (250, 246, 240), 1.2)
    return [*_two_ears(b, dark), tip, Part(TORSO, ellipse(b.torso * 0.9, -0.05, 0.1, 0.08), light, 3.2)]


def _sheep(b: Build, dark: Tone, light: Tone) -> list[Part]:
    places = [(x, y) for x in (0.0, 0.35, 0.7, 1.0) for y in (0.1, -0.06)]
    return [Part(TORSO, ellipse(b.torso * x, y, 0.12, 0.12, 12), light, 3.3) for x, y in places]


def _person(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    hair = ellipse(head * 0.72, head * 0.06, head * 0.36, head * 0.52)
    fringe = ellipse(head * 0.92, head * 0.05, head * 0.2, head * 0.42)
    return [Part(HEAD, hair, dark, 3.9), Part(HEAD, fringe, dark, 4.2)]


def _robot(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    visor = box(head * 0.4, -head * 0.5, head * 0.75, -head * 0.1)
    panel = box(b.torso * 0.3, -b.wide * 0.6, b.torso * 0.75, b.wide * 0.3)
    aerial = capsule(0.14, 0.015, 0.03) + [head, 0]
    return [Part(HEAD, visor, (250, 240, 120), 4.2), Part(HEAD, aerial, dark, 3.9), Part(TORSO, panel, light, 3.2)]


def _bear(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    ears = [(head * 0.35, 3.9), (-head * 0.2, 3.8)]
    snout = ellipse(head * 0.38, -head * 0.42, 0.075, 0.075, 12)
    belly = ellipse(b.torso * 0.45, -b.wide * 0.3, b.torso * 0.4, b.wide * 0.6)
    marks = [Part(HEAD, ellipse(head * 0.95, y, 0.07, 0.07, 12), dark, z) for y, z in ears]
    return [*marks, Part(HEAD, snout, light, 4.4), Part(TORSO, belly, light, 3.2)]


def _bird(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    beak = triangle((head * 0.35, -head * 0.4), (head * 0.65, -head * 0.4), (head * 0.48, -head * 1.15))
    belly = ellipse(b.torso * 0.42, -b.wide * 0.4, b.torso * 0.38, b.wide * 0.55)
    return [Part(HEAD, beak, (244, 160, 30), 4.2), Part(TORSO, belly, light, 3.2)]


def _rabbit(b: Build, dark: Tone, light: Tone) -> list[Part]:
    ears = ((0.07, 0.75, 3.8), (-0.03, 1.0, 3.9))
    marks = [Part(HEAD, capsule(0.28, 0.05, 0.04) + [b.head * 0.85, y], tone(b.rgb, f), z) for y, f, z in ears]
    tail = Part(TAIL, ellipse(0.04, 0, 0.075, 0.075, 12), (250, 248, 244), 1.2)
    belly = ellipse(b.torso * 0.45, -b.wide * 0.35, b.torso * 0.35, b.wide * 0.5)
    return [*marks, tail, Part(TORSO, belly, light, 3.2)]


def _monkey(b: Build, dark: Tone, light: Tone) -> list[Part]:
    head = b.head
    ear = ellipse(head * 0.5, head * 0.42, 0.08, 0.08, 12)
    muzzle = ellipse(head * 0.42, -head * 0.22, head * 0.3, head * 0.28)
    return [Part(HEAD, ear, dark, 3.9), Part(HEAD, muzzle, light, 4.2)]


_QUADRUPEDS: dict[str, Marks] = {
    "horse": _horse,
    "giraffe": _giraffe,
    "elephant": _elephant,
    "turtle": _turtle,
    "rhino": _rhino,
    "cat": _cat,
    "fox": _fox,
    "sheep": _sheep,
}
_BIPEDS: dict[str, Marks] = {
    "person": _person,
    "robot": _robot,
    "bear": _bear,
    "bird": _bird,
    "rabbit": _rabbit,
    "monkey": _monkey,
}
