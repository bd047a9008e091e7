"""Drawing of one frame with OpenCV polygons: colours (2x supersampled), part codes, and line drawings."""

from __future__ import annotations

import cv2
import numpy as np

from motionkit.sprites import styled
from motionkit.sprites.kinds import Character, rng_of
from motionkit.sprites.shapes import SHIFT, SUPERSAMPLE, Part, tone, vertices
from motionkit.sprites.stages import Ground


def _ordered(character: Character) -> list[Part]:
    return sorted(character.parts, key=lambda p: p.z)


def background(character: Character, size: int) -> np.ndarray:
    """The empty stage (size, size, 3) uint8: plain in `easy`, often textured in `full`."""
    out = np.empty((size, size, 3), np.uint8)
    out[:] = character.background_rgb
    if character.setting == "easy":
        return out
    rng = rng_of("stage", character.seed)
    style = rng.integers(0, 4)
    if style == 1:  # vertical gradient
        ramp = np.linspace(1.0, 0.8, size)[:, None, None]
        return (out * ramp).astype(np.uint8)
    if style == 2:  # checkerboard
        cell = max(size // 8, 2)
        dark = (np.add.outer(np.arange(size) // cell, np.arange(size) // cell) % 2).astype(bool)
        out[dark] = tone(character.background_rgb, 0.88)
    elif style == 3:  # soft noise
        noise = cv2.resize(
            rng.normal(0, 14, (size // 8, size // 8)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
        return np.clip(out + noise[..., None], 0, 255).astype(np.uint8)
    return out


def paint(character: Character, matrices: np.ndarray, size: int, ground: Ground | None = None) -> np.ndarray:
    """One frame (size, size, 3) uint8 from bone matrices (12, 2, 3); `ground` is for characters with a look."""
    if character.look is not None:
        return styled.paint(character.parts, character.look, matrices, size, ground or (size * 0.87, size * 0.87, 0.0))
    big = cv2.resize(background(character, size), None, fx=SUPERSAMPLE, fy=SUPERSAMPLE, interpolation=cv2.INTER_NEAREST)
    outline = character.setting == "full" and character.seed % 3 == 0
    for part in _ordered(character):
        points = vertices(part.outline, matrices[part.bone], SUPERSAMPLE)
        cv2.fillPoly(big, [points], part.colour, cv2.LINE_AA, SHIFT)
        if outline:
            cv2.polylines(big, [points], True, tone(part.colour, 0.35), 2, cv2.LINE_AA, SHIFT)
    return cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA)


def paint_codes(character: Character, matrices: np.ndarray, size: int) -> np.ndarray:
    """Index of the visible bone at each pixel (size, size) int16, -1 where there is none."""
    if character.look is not None:
        return styled.paint_codes(character.parts, character.look, matrices, size)
    codes = np.zeros((size, size), np.uint8)
    for part in _ordered(character):
        cv2.fillPoly(codes, [vertices(part.outline, matrices[part.bone], 1)], part.bone + 1, cv2.LINE_8, SHIFT)
    return codes.astype(np.int16) - 1


def paint_lines(character: Character, matrices: np.ndarray, size: int, thickness: int = 2) -> np.ndarray:
    """A black-on-white line drawing (size, size, 3) uint8; nearer parts hide the lines behind them."""
    big = np.full((size * SUPERSAMPLE, size * SUPERSAMPLE), 255, np.uint8)
    for part in _ordered(character):
        points = vertices(part.outline, matrices[part.bone], SUPERSAMPLE)
        cv2.fillPoly(big, [points], 255, cv2.LINE_AA, SHIFT)
        cv2.polylines(big, [points], True, 0, thickness, cv2.LINE_AA, SHIFT)
    small = cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA)
    return np.repeat(small[..., None], 3, -1)
