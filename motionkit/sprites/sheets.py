"""Letters and the flag: strokes and strips that bend as sheets, each piece still carried by one of the twelve bones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from motionkit.sprites.shapes import Part, box, capsule, tone
from motionkit.sprites.skeleton import BONES, Body

# Strokes in a unit box, x right, y up.
STROKES: dict[str, tuple[tuple[tuple[float, float], tuple[float, float]], ...]] = {
    "A": (((0.1, 0), (0.5, 1)), ((0.5, 1), (0.9, 0)), ((0.28, 0.4), (0.72, 0.4))),
    "E": (((0.2, 0), (0.2, 1)), ((0.2, 1), (0.85, 1)), ((0.2, 0.5), (0.7, 0.5)), ((0.2, 0), (0.85, 0))),
    "F": (((0.2, 0), (0.2, 1)), ((0.2, 1), (0.85, 1)), ((0.2, 0.5), (0.7, 0.5))),
    "H": (((0.15, 0), (0.15, 1)), ((0.85, 0), (0.85, 1)), ((0.15, 0.5), (0.85, 0.5))),
    "K": (((0.2, 0), (0.2, 1)), ((0.2, 0.45), (0.85, 1)), ((0.4, 0.6), (0.85, 0))),
    "L": (((0.2, 0), (0.2, 1)), ((0.2, 0), (0.85, 0))),
    "M": (((0.1, 0), (0.1, 1)), ((0.1, 1), (0.5, 0.4)), ((0.5, 0.4), (0.9, 1)), ((0.9, 1), (0.9, 0))),
    "N": (((0.15, 0), (0.15, 1)), ((0.15, 1), (0.85, 0)), ((0.85, 0), (0.85, 1))),
    "T": (((0.5, 0), (0.5, 1)), ((0.1, 1), (0.9, 1))),
    "X": (((0.1, 0), (0.9, 1)), ((0.1, 1), (0.9, 0))),
    "Y": (((0.5, 0), (0.5, 0.5)), ((0.5, 0.5), (0.1, 1)), ((0.5, 0.5), (0.9, 1))),
    "Z": (((0.1, 1), (0.9, 1)), ((0.9, 1), (0.1, 0)), ((0.1, 0), (0.9, 0))),
}


def segments(kind: str) -> np.ndarray:
    """Rest end points (12, 2, 2) of the pieces of a letter or the flag, in its unit box."""
    pieces = len(BONES)
    if kind == "flag":
        pole = [((0.0, -0.9), (0.0, 1.0))]
        edges = np.linspace(0.0, 1.3, pieces)
        return np.array(pole + [((a, 0.65), (b, 0.65)) for a, b in zip(edges[:-1], edges[1:], strict=True)])
    strokes = np.array(STROKES[kind.removeprefix("letter ")])
    lengths = np.linalg.norm(strokes[:, 1] - strokes[:, 0], axis=-1)
    counts = np.ones(len(strokes), int)
    while counts.sum() < pieces:  # the longest piece is cut next
        counts[np.argmax(lengths / counts)] += 1
    out = []
    for (a, b), n in zip(strokes, counts, strict=True):
        cuts = a + (b - a) * np.linspace(0, 1, n + 1)[:, None]
        out += list(zip(cuts[:-1], cuts[1:], strict=True))
    return np.array(out)


def sheet(kind: str, rgb: tuple, setting: str, rng: np.random.Generator) -> tuple[Body, list[Part]]:
    """Body and parts of a letter or the flag; proportions are the size of its unit box."""
    width, height = float(rng.uniform(0.6, 0.85)), float(rng.uniform(0.85, 1.05))
    thick = float(rng.uniform(0.075, 0.1)) * (1.25 if setting == "easy" else 0.9)
    ends = segments(kind) * [width, height]
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=-1)
    length_of = {b: float(n) for b, n in zip(BONES, lengths, strict=True)}
    body = Body("sheet", length_of, {b: 0.0 for b in BONES}, (width, height))
    parts = []
    for i, length in enumerate(lengths):
        if kind == "flag" and i > 0:
            stripe = tone(rgb, 1.0 if i % 4 < 2 else 1.5)
            parts.append(Part(i, box(-0.004, -0.33 * height, length + 0.004, 0.33 * height), stripe, 2.0))
        else:
            colour = (110, 84, 60) if kind == "flag" else tone(rgb, 1.0)
            radius = thick * 0.5 if kind == "flag" else thick
            parts.append(Part(i, capsule(length, radius, radius), colour, 3.0))
    return body, parts


def bend(
    kind: str, size: tuple[float, float], angles: Mapping[str, np.ndarray], frames: int, phase: np.ndarray
) -> np.ndarray:
    """End points (F, 12, 2, 2) of the pieces while a motion bends the sheet.

    A letter is a soft box whose four corners swing with the arms and legs; a flag carries a travelling wave.
    """
    rest = segments(kind) * np.array(size)  # (12, 2, 2)
    points = np.broadcast_to(rest, (frames, *rest.shape)).copy()  # (F, 12, 2, 2)
    if kind == "flag":
        x = rest[..., 0] / size[0]
        wave = np.sin(2 * np.pi * 0.8 * x[None] - phase[:, None, None])
        strength = 0.12 * np.abs(angles.get("arm_near", np.zeros(frames)) * 0 + 1.0)[:, None, None]
        points[..., 1] += strength * np.minimum(x, 1.0)[None] * wave
        points[:, 0] = rest[0]
        return points
    u, v = rest[..., 0] / size[0], rest[..., 1] / size[1]
    zero = np.zeros(frames)
    corners = {  # corner weight, swing angle
        "leg_far": (1 - u) * (1 - v),
        "leg_near": u * (1 - v),
        "arm_far": (1 - u) * v,
        "arm_near": u * v,
    }
    for bone, weight in corners.items():
        swing = np.clip(angles.get(bone, zero), -1.2, 1.2)
        reach = 0.3 * size[1] * (1 if bone.startswith("leg") else -1)
        points[..., 0] += weight[None] * (reach * np.sin(swing))[:, None, None]
        lift = 0.25 * size[1] * (1 - np.cos(swing))
        points[..., 1] += weight[None] * (lift if bone.startswith("leg") else -lift)[:, None, None]
    lean = angles.get("torso", zero) + 0.5 * angles.get("head", zero)
    points[..., 0] -= v[None] * (size[1] * np.sin(lean))[:, None, None]
    return points
