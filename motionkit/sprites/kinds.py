"""The cast: kinds of characters with their proportions, parts and colours, built from a seed.

`character(seed, kind, setting)` is deterministic. `easy` makes thick limbs, no outlines and light plain backgrounds;
`full` adds thin limbs, textures and dark backgrounds. `wild` varies the renderer itself (bodies, contours, textures,
stages, camera, damage), and `foreign` is another renderer's style, which training never sees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from motionkit.sprites import foreign, wild
from motionkit.sprites.looks import Look
from motionkit.sprites.marks import Build, biped_marks, quadruped_marks
from motionkit.sprites.shapes import Part, box, capsule, ellipse, tone
from motionkit.sprites.sheets import sheet
from motionkit.sprites.skeleton import BONES, DOWN, Body

QUADRUPEDS = ("horse", "giraffe", "elephant", "turtle", "rhino", "cat", "fox", "sheep")
BIPEDS = ("person", "robot", "bear", "bird", "rabbit", "monkey")
LETTERS = tuple(f"letter {c}" for c in "AEFHKLMNTXYZ")
KINDS = QUADRUPEDS + BIPEDS + LETTERS + ("flag",)
HELD_OUT_KINDS = ("fox", "sheep", "monkey")
TRAIN_KINDS = tuple(k for k in QUADRUPEDS + BIPEDS if k not in HELD_OUT_KINDS)

COLOURS = {
    "red": (214, 48, 42),
    "orange": (240, 140, 36),
    "yellow": (236, 204, 52),
    "green": (62, 160, 72),
    "blue": (52, 104, 210),
    "purple": (138, 72, 182),
    "pink": (240, 130, 176),
    "brown": (140, 90, 52),
    "grey": (128, 132, 138),
}
SETTINGS = ("easy", "full", "wild")
HELD_OUT_SETTINGS = ("foreign",)  # never shown in training
SPREAD = {"wild": 0.3}  # how far proportions vary; 0.12 in the others
SHADE = {"near": 0.84, "far": 0.58}  # near and far limbs differ in tone, so that left and right can be distinguished

# kind: torso length, leg length, neck (length, angle), head length, limb thickness, tail length
_QUAD = {
    "horse": (0.62, 0.46, 0.30, 0.95, 0.24, 0.060, 0.30),
    "giraffe": (0.46, 0.48, 0.56, 1.15, 0.20, 0.050, 0.22),
    "elephant": (0.62, 0.36, 0.12, 0.55, 0.30, 0.095, 0.20),
    "turtle": (0.60, 0.20, 0.18, 0.30, 0.20, 0.070, 0.14),
    "rhino": (0.66, 0.28, 0.12, 0.10, 0.34, 0.085, 0.16),
    "cat": (0.54, 0.32, 0.12, 0.80, 0.24, 0.055, 0.42),
    "fox": (0.56, 0.30, 0.14, 0.60, 0.26, 0.050, 0.44),
    "sheep": (0.50, 0.30, 0.12, 0.60, 0.22, 0.055, 0.10),
}
# kind: torso, leg, arm, head length, limb thickness, tail
_BIPED = {
    "person": (0.34, 0.46, 0.40, 0.24, 0.055, 0.0),
    "robot": (0.36, 0.38, 0.38, 0.24, 0.070, 0.0),
    "bear": (0.42, 0.32, 0.34, 0.28, 0.090, 0.08),
    "bird": (0.40, 0.30, 0.46, 0.24, 0.050, 0.22),
    "rabbit": (0.36, 0.34, 0.30, 0.26, 0.065, 0.08),
    "monkey": (0.34, 0.34, 0.44, 0.26, 0.055, 0.44),
}


@dataclass(frozen=True)
class Character:
    """One individual: body, painted parts, background and words for it. `key` identifies the instance (splits)."""

    kind: str
    colour: str
    setting: str
    seed: int
    body: Body
    parts: tuple[Part, ...]
    background: str
    background_rgb: tuple[int, int, int]
    bends: str = "bones"  # "letter" and "flag" bend as sheets instead
    look: Look | None = None  # how it is drawn, where the setting varies that

    @property
    def key(self) -> str:
        """`setting/kind/seed`, the name of this individual in splits and labels."""
        return f"{self.setting}/{self.kind}/{self.seed}"

    @property
    def caption(self) -> str:
        """Words for a still picture: colour, kind and background."""
        return f"{article(self.colour)} {self.colour} {self.kind} on {self.background}"


BACKGROUNDS = {"white": (252, 252, 252), "cream": (250, 240, 214), "sky": (206, 230, 250), "mint": (212, 242, 222)}
DARK_BACKGROUNDS = {"night": (34, 38, 60), "forest": (36, 62, 44)}


def article(word: str) -> str:
    """ "an" before a word that begins with a vowel, "a" before any other."""
    return "an" if word[:1].lower() in tuple("aeiou") else "a"


def rng_of(*key: object) -> np.random.Generator:
    """A generator that depends on nothing but `key`."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def character(seed: int, kind: str | None = None, setting: str = "easy", colour: str | None = None) -> Character:
    """An individual made from a seed.

    Args:
        seed: any integer; the same seed gives the same individual.
        kind: one of `KINDS`; drawn from the articulated kinds when None.
        setting: one of `SETTINGS` or `HELD_OUT_SETTINGS`.
        colour: one of `COLOURS`; drawn when None.

    Raises:
        ValueError: unknown kind, setting or colour.
    """
    if setting not in SETTINGS + HELD_OUT_SETTINGS:
        raise ValueError(f"unknown setting {setting!r}; known: {', '.join(SETTINGS + HELD_OUT_SETTINGS)}")
    rng = rng_of("character", seed, setting)
    kind = kind or str(rng.choice(QUADRUPEDS + BIPEDS))
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    colour = colour or str(rng.choice(list(COLOURS)))
    if colour not in COLOURS:
        raise ValueError(f"unknown colour {colour!r}; known: {', '.join(COLOURS)}")
    if setting in ("easy", "full"):
        backgrounds = dict(BACKGROUNDS) if setting == "easy" else BACKGROUNDS | DARK_BACKGROUNDS
        background = str(rng.choice(list(backgrounds)))
    r, g, b = (int(np.clip(c + rng.integers(-12, 13), 0, 255)) for c in COLOURS[colour])
    rgb = (r, g, b)
    bends = "flag" if kind == "flag" else "letter" if kind.startswith("letter") else "bones"
    if setting == "foreign" and bends == "bones":
        body, parts = foreign.build(kind, kind in QUADRUPEDS, rgb, rng)
    elif kind in QUADRUPEDS:
        body, parts = _quadruped(kind, rgb, setting, rng)
    elif kind in BIPEDS:
        body, parts = _biped(kind, rgb, setting, rng)
    else:
        body, parts = sheet(kind, rgb, setting, rng)  # letters and the flag bend differently
    if setting in ("easy", "full"):
        return Character(kind, colour, setting, seed, body, tuple(parts), background, backgrounds[background], bends)
    if setting == "wild":
        parts, look = wild.dress(body, parts, rgb, rng)
    else:
        look = foreign.look(rgb, rng)
    stage = look.stage
    return Character(kind, colour, setting, seed, body, tuple(parts), stage.kind, stage.colour, bends, look)


def _vary(rng: np.random.Generator, value: float, by: float = 0.12) -> float:
    return float(value * (1 + rng.uniform(-by, by)))


def _limbs(body: Body, rgb: tuple, thick: float, hoof: float, foot: tuple) -> list[Part]:
    """Arms and legs of both sides, far ones behind the torso, each with a foot."""
    parts = []
    for side, z in (("far", 0.0), ("near", 6.0)):
        for upper, lower in (("arm", "forearm"), ("leg", "shin")):
            shade = tone(rgb, SHADE[side])
            u, w = f"{upper}_{side}", f"{lower}_{side}"
            lu, lw = body.length[u], body.length[w]
            parts.append(Part(BONES.index(u), capsule(lu, thick * 1.25, thick), shade, z))
            parts.append(Part(BONES.index(w), capsule(lw, thick, thick * 0.8), shade, z + 0.1))
            ends = ellipse(lw, thick * 0.25, thick * hoof * 0.8, thick * hoof)
            parts.append(Part(BONES.index(w), ends, tone(foot, SHADE[side]), z + 0.2))
    return parts


def _quadruped(kind: str, rgb: tuple, setting: str, rng: np.random.Generator) -> tuple[Body, list[Part]]:
    torso, leg, neck, neck_at, head, thick, tail = (_vary(rng, v, SPREAD.get(setting, 0.12)) for v in _QUAD[kind])
    thick *= 1.45 if setting == "easy" else wild.thickness(rng) if setting == "wild" else 1.0
    split = 0.52
    length = {"torso": torso, "neck": neck, "head": head, "tail": tail}
    rest = {"torso": 0.0, "neck": neck_at, "head": -0.35 if kind not in ("turtle", "cat") else 0.0, "tail": np.pi + 0.7}
    for side in ("near", "far"):
        # A small constant offset keeps the far pair visible behind the near pair.
        at = DOWN + (0.10 if side == "far" else -0.02)
        for upper, lower in (("arm", "forearm"), ("leg", "shin")):
            length |= {f"{upper}_{side}": leg * split, f"{lower}_{side}": leg * (1 - split)}
            rest |= {f"{upper}_{side}": at, f"{lower}_{side}": at}
    body = Body("quadruped", length, rest, (0.0, leg))
    bellies = {"elephant": 0.22, "rhino": 0.19, "turtle": 0.15, "sheep": 0.2, "horse": 0.15, "giraffe": 0.14}
    belly = bellies.get(kind, 0.12)
    parts = _limbs(body, rgb, thick, 1.25, tone(rgb, 0.45) if kind in ("horse", "giraffe", "sheep") else rgb)
    trunk = [Part(0, ellipse(torso / 2, 0.01, torso / 2 + 0.10, belly), tone(rgb, 1.0), 3.0)]
    trunk.append(Part(11, capsule(tail, 0.035, 0.02 if kind != "fox" else 0.06), tone(rgb, 0.7), 1.0))
    trunk.append(Part(1, capsule(neck, belly * 0.62, head * 0.34), tone(rgb, 0.94), 3.4))
    trunk.append(Part(2, ellipse(head * 0.45, 0, head * 0.55, head * 0.36), tone(rgb, 1.12), 4.0))
    return body, parts + trunk + quadruped_marks(kind, Build(rgb, torso, belly, head, neck, tail))


def _biped(kind: str, rgb: tuple, setting: str, rng: np.random.Generator) -> tuple[Body, list[Part]]:
    torso, leg, arm, head, thick, tail = (_vary(rng, v, SPREAD.get(setting, 0.12)) for v in _BIPED[kind])
    thick *= 1.4 if setting == "easy" else wild.thickness(rng) if setting == "wild" else 1.0
    neck = 0.06
    length = {"torso": torso, "neck": neck, "head": head, "tail": max(tail, 0.05)}
    rest = {"torso": np.pi / 2, "neck": np.pi / 2, "head": np.pi / 2, "tail": np.pi + 0.5}
    for side, apart in (("near", -0.10), ("far", 0.14)):
        for upper, lower, total, spread in (("arm", "forearm", arm, 2.2), ("leg", "shin", leg, 1.0)):
            length |= {f"{upper}_{side}": total * 0.5, f"{lower}_{side}": total * 0.5}
            rest |= {f"{upper}_{side}": DOWN + apart * spread, f"{lower}_{side}": DOWN + apart * spread}
    body = Body("biped", length, rest, (0.0, leg))
    wide = {"bear": 0.21, "robot": 0.17, "bird": 0.19, "rabbit": 0.15}.get(kind, 0.125)
    feet = (70, 60, 60) if kind == "person" else (238, 150, 40) if kind == "bird" else tone(rgb, 0.9)
    parts = _limbs(body, rgb, thick, 1.3, feet)
    if kind == "bird":  # wings instead of arms, drawn as long feathers
        parts = [p for p in parts if not BONES[p.bone].startswith(("arm", "forearm"))]
        for side, z in (("far", 0.0), ("near", 6.0)):
            for name, r in ((f"arm_{side}", 0.085), (f"forearm_{side}", 0.075)):
                grown = capsule(length[name], r, r * 0.7)
                parts.append(Part(BONES.index(name), grown, tone(rgb, SHADE[side] * 0.95), z))
    trunk = box(-0.03, -wide, torso + 0.05, wide) if kind == "robot" else ellipse(torso / 2, 0, torso / 2 + 0.08, wide)
    skin = (238, 196, 160) if kind == "person" else tone(rgb, 1.12)
    face = box(0, -head * 0.5, head, head * 0.5) if kind == "robot" else ellipse(head * 0.5, 0, head * 0.55, head * 0.5)
    parts += [
        Part(0, trunk, rgb, 3.0),
        Part(1, capsule(neck, 0.05, 0.05), tone(rgb, 0.9), 2.8),
        Part(2, face, skin, 4.0),
    ]
    if tail > 0.0:
        parts.append(Part(11, capsule(tail, 0.05, 0.035), tone(rgb, 0.7), 1.0))
    return body, parts + biped_marks(kind, Build(rgb, torso, wide, head))
