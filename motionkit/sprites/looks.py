"""How a character is drawn where the renderer itself varies: contours, fills, light, camera, stage and degradations.

A `Look` holds plain numbers, so that the same look gives the same bits. `wild_look` draws one at random.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

RGB = tuple[int, int, int]
STAGES = ("plain", "gradient", "radial", "clutter", "noise", "scenery", "room", "checks", "stripes", "paper")


@dataclass(frozen=True)
class Camera:
    """An affine camera: how the upright picture of a character is placed in the frame.

    Attributes:
        extent: the longer side of the rest pose, fraction of the frame.
        place: where in the room that is left the character stands, [0, 1] from left to right and from top to bottom.
        turn: radians.
        shear: horizontal shift for each unit of height (a tilted camera).
        squeeze: width is multiplied by it, height divided.
        mirror: it faces left.
    """

    extent: float = 0.7
    place: tuple[float, float] = (0.5, 0.8)
    turn: float = 0.0
    shear: float = 0.0
    squeeze: float = 1.0
    mirror: bool = False

    def linear(self) -> np.ndarray:
        """The 2 x 2 matrix from upright to placed pixels, up to scale."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        wide = self.squeeze * (-1 if self.mirror else 1)
        return (
            np.array([[c, -s], [s, c]]) @ np.array([[1.0, self.shear], [0.0, 1.0]]) @ np.diag([wide, 1 / self.squeeze])
        )


@dataclass(frozen=True)
class Stage:
    """What is behind a character: one of `STAGES` in two colours, drawn from a seed; perhaps a line for the ground."""

    kind: str = "plain"
    colour: RGB = (250, 250, 250)
    other: RGB = (220, 220, 220)
    seed: int = 0
    line: float = 0.0  # width of the ground line, pixels of a frame of 128
    line_colour: RGB = (40, 40, 40)


@dataclass(frozen=True)
class Look:
    """How a character is drawn; lengths are pixels of a frame of 128.

    Attributes:
        pen: contours: "none", "part" (each part its own) or "union" (limbs and trunk as wholes).
        width: of the contour.
        ink: its colour; None: a dark tone of each part's own.
        strokes: how often a contour is drawn by hand (0: by a machine); `shake` is how far off.
        fill: "solid", "paper" (parts hide what is behind them in the stage's colour), "partial" (some are filled) or
            "offset" (colour beside its contour, by `shift`).
        shadow: darkness on the ground below, [0, 1].
        light: brightness across the picture, at most this much more and less, from `light_from` (radians).
        blur: standard deviation.  jpeg: quality, 0 for none.  grain: standard deviation, levels.
        low: the picture is drawn at this fraction of its size and enlarged.
        contrast, bright: levels are multiplied by the one about 128 and moved by the other.
    """

    pen: str = "none"
    width: float = 1.0
    ink: RGB | None = None
    strokes: int = 0
    shake: float = 0.0
    fill: str = "solid"
    shift: tuple[float, float] = (0.0, 0.0)
    shadow: float = 0.0
    light: float = 0.0
    light_from: float = 0.0
    blur: float = 0.0
    jpeg: int = 0
    grain: float = 0.0
    low: float = 1.0
    contrast: float = 1.0
    bright: float = 0.0
    seed: int = 0
    stage: Stage = field(default_factory=Stage)
    camera: Camera = field(default_factory=Camera)


def any_colour(rng: np.random.Generator, value: tuple[float, float] = (0.1, 1.0), vivid: float = 0.9) -> RGB:
    """A colour of any hue; `value` bounds its brightness, `vivid` its saturation."""
    r, g, b = colorsys.hsv_to_rgb(rng.uniform(), vivid * rng.uniform() ** 1.3, rng.uniform(*value))
    return round(255 * r), round(255 * g), round(255 * b)


def far_from(rng: np.random.Generator, colour: RGB, least: float = 80.0) -> RGB:
    """A stage's colour that differs visibly from a character's."""
    for _ in range(50):
        light = rng.uniform() < 0.6
        out = any_colour(rng, (0.75, 1.0) if light else (0.05, 0.8), 0.45 if light else 0.9)
        if np.abs(np.subtract(out, colour)).sum() > 1.5 * least:
            return out
    return (250, 250, 250) if sum(colour) < 380 else (20, 20, 26)


def wild_camera(rng: np.random.Generator) -> Camera:
    """Any size and place, a little rotated and sheared, one in three facing left."""
    some = rng.uniform(size=3) < 0.6
    return Camera(
        extent=float(rng.uniform(0.48, 0.84)),
        place=(float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.4, 1.0))),
        turn=float(rng.normal(0, 0.10) * some[0]),
        shear=float(rng.normal(0, 0.10) * some[1]),
        squeeze=float(np.exp(rng.normal(0, 0.07) * some[2])),
        mirror=bool(rng.uniform() < 0.33),
    )


def wild_stage(rng: np.random.Generator, body: RGB, drawn: bool) -> Stage:
    """Any stage that the character stands out from; drawings are on paper or plain ground more often."""
    kind = str(rng.choice(("plain", "paper", "plain")) if drawn and rng.uniform() < 0.7 else rng.choice(STAGES))
    first = far_from(rng, body)
    if drawn and rng.uniform() < 0.7:
        r, g, b = (int(v) for v in 255 - rng.integers(0, 26, 3))
        first = (r, g, b)
    other = far_from(rng, body, 45)
    line = float(rng.uniform(0.7, 2.5)) if rng.uniform() < 0.35 else 0.0
    ink = any_colour(rng, (0.0, 0.5)) if sum(first) > 380 else any_colour(rng, (0.6, 1.0))
    return Stage(kind, first, other, int(rng.integers(2**31)), line, ink)


def wild_look(rng: np.random.Generator, body: RGB) -> Look:
    """A look drawn at random for a character whose main colour is `body`."""

    def sometimes(share: float, low: float, high: float) -> float:
        value, on = rng.uniform(low, high), rng.uniform() < share
        return float(value) if on else 0.0

    pen = str(rng.choice(("none", "part", "union"), p=(0.34, 0.33, 0.33)))
    fill = str(rng.choice(("solid", "paper", "partial", "offset"), p=(0.74, 0.12, 0.08, 0.06)))
    pen = "part" if pen == "none" and fill != "solid" else pen
    stage = wild_stage(rng, body, fill in ("paper", "partial"))
    dark = any_colour(rng, (0.0, 0.3)) if sum(stage.colour) > 330 or fill == "solid" else any_colour(rng, (0.75, 1.0))
    camera = wild_camera(rng)
    clear = camera.extent < 0.58  # a small figure is not blurred as well
    own = fill == "solid" and rng.uniform() < 0.35
    strokes = int(rng.choice((0, 1, 2), p=(0.55, 0.27, 0.18)))
    return Look(
        pen=pen,
        width=float(np.exp(rng.uniform(np.log(0.6), np.log(3.2)))),
        ink=None if own else dark,
        strokes=strokes,
        shake=float(rng.uniform(0.25, 1.1)) if strokes else 0.0,
        fill=fill,
        shift=(float(rng.uniform(-2.5, 2.5)), float(rng.uniform(-2.5, 2.5))),
        shadow=sometimes(0.35, 0.1, 0.6),
        light=sometimes(0.4, 0.05, 0.3),
        light_from=float(rng.uniform(0, 2 * np.pi)),
        blur=sometimes(0.1 if clear else 0.35, 0.3, 1.0),
        jpeg=int(sometimes(0.35, 18, 80)),
        grain=sometimes(0.35, 1, 9),
        low=sometimes(0.05 if clear else 0.25, 0.5, 0.9) or 1.0,
        contrast=1 + sometimes(0.3, -0.3, 0.15),
        bright=sometimes(0.3, -22, 22),
        seed=int(rng.integers(2**31)),
        stage=stage,
        camera=camera,
    )
