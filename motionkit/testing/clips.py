"""Tiny synthetic clips for tests: coloured shapes that move, and a request made of them."""

from __future__ import annotations

import numpy as np

from motionkit.media import Clip, from_frames
from motionkit.transfer import Inputs

MOVES = {"right": (1.0, 0.0), "down": (0.0, 1.0), "rise": (0.6, -0.8)}


def moving_shapes(
    frames: int = 4,
    height: int = 64,
    width: int = 64,
    *,
    move: str = "right",
    colours: tuple[tuple[int, int, int], ...] = ((200, 40, 40), (40, 60, 200)),
    background: tuple[int, int, int] = (235, 235, 225),
    fps: float = 8.0,
) -> Clip:
    """A disc on a bar that cross the picture and come back once in `frames` frames.

    Args:
        move: one of MOVES: the direction of the disc; the bar goes the other way.
        colours: of the disc and of the bar, RGB 0 to 255.
    """
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    side, (dx, dy) = min(height, width), MOVES[move]
    clip = np.empty((frames, height, width, 3), np.uint8)
    clip[:] = background
    for i in range(frames):
        away = 0.2 * side * np.sin(2 * np.pi * i / frames + 0.4)
        x, y = width / 2 + away * dx, height / 2 + away * dy
        bar = (np.abs(columns - width / 2 + away * dx) < 0.12 * side) & (rows > height / 2) & (rows < 0.9 * height)
        clip[i][bar] = colours[1]
        clip[i][(columns - x) ** 2 + (rows - y) ** 2 < (0.18 * side) ** 2] = colours[0]
        clip[i][(columns - x - 2) ** 2 + (rows - y + 2) ** 2 < (0.05 * side) ** 2] = (250, 250, 250)
    return from_frames(clip, fps, f"shapes-{move}")


def picture(height: int = 64, width: int = 64, *, colours: tuple[tuple[int, int, int], ...] | None = None) -> Clip:
    """One still picture of the shapes."""
    chosen = colours or ((30, 140, 60), (230, 160, 30))
    still = moving_shapes(1, height, width, move="down", colours=chosen, background=(220, 230, 240))
    return from_frames(still.frames, still.fps, "picture", is_image=True)


def sample_inputs(frames: int = 4, side: int = 64) -> Inputs:
    """A request with everything that needs no estimator: a picture, a driving clip, and texts."""
    return Inputs(
        reference=picture(side, side),
        driving=moving_shapes(frames, side, side),
        prompt="a green toy",
        source_prompt="a toy",
        negative_prompt="blurry",
    )


def other_inputs(frames: int = 4, side: int = 64) -> Inputs:
    """The same fields as `sample_inputs`, each with other content."""
    return Inputs(
        reference=picture(side, side, colours=((120, 30, 160), (20, 90, 90))),
        driving=moving_shapes(frames, side, side, move="rise"),
        prompt="one tall red horse",
        source_prompt="a grey stone",
        negative_prompt="dark",
    )
