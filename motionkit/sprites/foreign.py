"""The `foreign` style: outlined cartoons of another construction, for measuring what training never saw.

Nothing here is shared with the other settings but the bones: tubes of one width for limbs, a bean for a trunk, a round
head with white eyes, one dark contour round each limb, flat colours with a highlight, a ground line.
"""

from __future__ import annotations

import numpy as np

from motionkit.sprites.foreign_heads import cartoon_head, circle, dim, pale
from motionkit.sprites.looks import RGB, Camera, Look, Stage
from motionkit.sprites.shapes import Part
from motionkit.sprites.skeleton import BONES, DOWN, Body

# torso, leg, neck, head, arm or front leg, tail; then angles of neck and head for those on four legs
_FOUR = {
    "horse": (0.50, 0.42, 0.26, 0.30, 0.42, 0.30, 1.05, -0.15),
    "giraffe": (0.38, 0.44, 0.52, 0.24, 0.46, 0.22, 1.25, -0.05),
    "elephant": (0.52, 0.32, 0.10, 0.38, 0.32, 0.18, 0.5, 0.0),
    "turtle": (0.50, 0.18, 0.20, 0.24, 0.18, 0.10, 0.45, 0.1),
    "rhino": (0.56, 0.26, 0.10, 0.36, 0.26, 0.14, 0.3, -0.1),
    "cat": (0.42, 0.30, 0.08, 0.34, 0.30, 0.46, 0.9, 0.0),
    "fox": (0.44, 0.28, 0.10, 0.32, 0.28, 0.42, 0.7, 0.0),
    "sheep": (0.44, 0.24, 0.10, 0.26, 0.24, 0.08, 0.7, -0.1),
}
_TWO = {
    "person": (0.34, 0.40, 0.05, 0.30, 0.36, 0.0),
    "robot": (0.32, 0.34, 0.05, 0.30, 0.36, 0.0),
    "bear": (0.40, 0.24, 0.03, 0.34, 0.30, 0.06),
    "bird": (0.36, 0.26, 0.05, 0.30, 0.34, 0.16),
    "rabbit": (0.34, 0.30, 0.03, 0.32, 0.28, 0.06),
    "monkey": (0.32, 0.30, 0.04, 0.32, 0.42, 0.46),
}
_INKS: tuple[RGB, ...] = ((28, 22, 30), (44, 28, 20), (20, 26, 54), (12, 12, 12))
_SKIES: tuple[RGB, ...] = ((255, 255, 255), (254, 246, 226), (214, 236, 255), (232, 224, 248), (198, 226, 190))


def look(rgb: RGB, rng: np.random.Generator) -> Look:
    """Flat colours in one dark contour of 1 to 2.4 pixels, a ground line, a light plain or meadow ground."""
    ink = _INKS[int(rng.integers(len(_INKS)))]
    sky = _SKIES[int(rng.integers(len(_SKIES)))]
    meadow = rng.uniform() < 0.35
    stage = Stage(
        "scenery" if meadow else "plain", sky, (150, 190, 130), int(rng.integers(2**31)), float(rng.uniform(1, 2)), ink
    )
    camera = Camera(
        extent=float(rng.uniform(0.55, 0.82)),
        place=(float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.75, 1.0))),
        mirror=bool(rng.uniform() < 0.25),
    )
    width = float(rng.uniform(0.8, 1.7))
    return Look(
        "union", width, ink, shadow=0.25 if meadow else 0.0, seed=int(rng.integers(2**31)), stage=stage, camera=camera
    )


def build(kind: str, four: bool, rgb: RGB, rng: np.random.Generator) -> tuple[Body, list[Part]]:
    """Body and parts of a kind; every length varies by a seventh."""
    about = [v * (1 + rng.uniform(-0.14, 0.14)) for v in (_FOUR if four else _TWO)[kind][:6]]
    torso, leg, neck, head, arm, tail = about
    length = {"torso": torso, "neck": neck, "head": head, "tail": max(tail, 0.04)}
    spread = 0.07 if four else 0.0
    rest = {
        "torso": rng.uniform(-0.06, 0.1) if four else np.pi / 2,
        "tail": np.pi - (0.5 if kind in ("cat", "monkey") else -0.6),
    }
    turn = _FOUR[kind][6:] if four else (np.pi / 2, np.pi / 2)
    rest |= {"neck": turn[0], "head": turn[1]}
    for side, sign in (("near", -1), ("far", 1)):
        for upper, lower, total, apart in (("arm", "forearm", arm, 0.32), ("leg", "shin", leg, 0.12)):
            at = DOWN + sign * (spread if four else apart)
            length |= {f"{upper}_{side}": 0.5 * total, f"{lower}_{side}": 0.5 * total}
            rest |= {f"{upper}_{side}": at, f"{lower}_{side}": at}
    body = Body("quadruped" if four else "biped", length, rest, (0.0, leg))
    tube = float(rng.uniform(0.032, 0.062))
    parts = [*_tubes(length, rgb, tube, four, kind), *_bean(length, rgb, tube, four, kind, rng)]
    return body, parts + cartoon_head(kind, four, head, rgb)


def _tube(length: float, r: float) -> np.ndarray:
    """A stadium of one width."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 13)
    cap = r * np.stack([np.cos(t), np.sin(t)], -1)
    return np.concatenate([cap + [length, 0.0], -cap])


def _tubes(length: dict, rgb: RGB, r: float, four: bool, kind: str) -> list[Part]:
    """Limbs as bent hoses with mittens and shoes; the far ones only a little darker."""
    shoe = (60, 50, 56) if kind in ("person", "robot", "horse", "sheep") else dim(rgb, 0.8)
    sleeve = (250, 214, 180) if kind == "person" else rgb
    out = []
    for side, depth, shade in (("far", 0.0, 0.86), ("near", 7.0, 1.0)):
        for first, second, at in (("leg", "shin", 0.0), ("arm", "forearm", 0.6)):
            upper, under, group = BONES.index(f"{first}_{side}"), BONES.index(f"{second}_{side}"), f"{first} {side}"
            colour = dim(sleeve if first == "arm" else rgb, shade)
            for bone, z in ((upper, depth + at), (under, depth + at + 0.01)):
                out.append(Part(bone, _tube(length[BONES[bone]], r), colour, z, True, group))
            end = length[BONES[under]]
            foot = first == "leg" or four
            shape = circle(end, 0.55 * r, 1.25 * r, 1.45, np.pi / 2) if foot else circle(end, 0.0, 1.5 * r)
            out.append(Part(under, shape, dim(shoe if foot else sleeve, shade), depth + at + 0.02, True, group))
    return out


def _bean(length: dict, rgb: RGB, r: float, four: bool, kind: str, rng: np.random.Generator) -> list[Part]:
    """A trunk that is fuller at the hips (or at the chest, on four legs), with a pale belly and a highlight."""
    torso, tail, neck = length["torso"], length["tail"], length["neck"]
    full = float(rng.uniform(0.12, 0.17)) * (1.25 if kind in ("bear", "elephant", "rhino", "sheep", "bird") else 1.0)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    lean = 0.22 if four else -0.22
    half = full * (1 + lean * np.cos(t))
    trunk = np.stack([torso / 2 + (torso / 2 + 0.8 * full * 0.5) * np.cos(t), half * np.sin(t)], -1)
    shirt = (214, 90, 80) if kind == "person" else rgb
    out = [Part(0, trunk, shirt, 3.0, True, "trunk"), Part(1, _tube(neck, 0.5 * full), rgb, 2.5, True, "neck")]
    if kind == "turtle":
        dome = trunk * [1.1, 1.5]
        dome[:, 1] = np.maximum(dome[:, 1], -0.2 * full)
        out.append(Part(0, dome, dim(rgb, 0.66), 3.4, True))
    else:
        belly = trunk * [0.7, 0.45] + ([0.16 * torso, -0.42 * full] if four else [0.08 * torso, -0.3 * full])
        out.append(Part(0, belly, pale(shirt, 0.45), 3.1, False, "trunk"))
    shine = (
        circle(0.72 * torso, 0.5 * full, 0.16 * full, 2.2)
        if four
        else circle(0.7 * torso, 0.42 * full, 0.16 * full, 2.0)
    )
    out.append(Part(0, shine, pale(shirt, 0.65), 3.5, False))
    if tail > 0.05:
        out.append(Part(11, _tube(tail, 0.8 * r), dim(rgb, 0.92), 1.0, True, "tail"))
        tuft = circle(tail, 0.0, 1.5 * r, 1.3)
        out.append(Part(11, tuft, pale(rgb, 0.7) if kind in ("fox", "rabbit") else dim(rgb, 0.6), 1.01, True, "tail"))
    return out
