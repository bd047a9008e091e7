"""Letterboxing: placing a clip on a canvas of fixed size without stretching it, and cutting it out again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from motionkit.media.clip import Clip, from_frames

_FAR = 32  # levels of 255 by which a pixel differs from the bars around a picture
_SPILT = 0.005  # share of the bars


@dataclass(frozen=True)
class Box:
    """Where the content is on a letterboxed canvas, in pixels.

    Attributes:
        top, left, height, width: the content's rectangle.
        canvas: (height, width) of the whole.
        source: (height, width) of the clip before it was letterboxed.
    """

    top: int
    left: int
    height: int
    width: int
    canvas: tuple[int, int]
    source: tuple[int, int]


def border_colour(frames: np.ndarray) -> np.ndarray:
    """Median colour (3,) uint8 of the outermost pixels of (F, H, W, 3) frames."""
    rows = frames[:, [0, -1]].reshape(-1, 3)  # (F*2*W, 3)
    columns = frames[:, :, [0, -1]].reshape(-1, 3)  # (F*H*2, 3)
    return np.median(np.concatenate([rows, columns]), axis=0).astype(np.uint8)


def box_of(source: tuple[int, int], height: int, width: int) -> Box:
    """Where `letterbox` puts the content of a clip of (height, width) `source` on a canvas."""
    scale = min(height / source[0], width / source[1])
    inner_h = min(height, max(1, round(source[0] * scale)))
    inner_w = min(width, max(1, round(source[1] * scale)))
    return Box((height - inner_h) // 2, (width - inner_w) // 2, inner_h, inner_w, (height, width), source)


def letterbox(clip: Clip, height: int, width: int) -> tuple[Clip, Box]:
    """Scale the clip into (height, width), centred, the rest filled with the clip's own border colour.

    Returns:
        The letterboxed clip (timing kept; one frame alone also keeps its `original`) and the `Box` that `unletterbox`
        needs.

    Raises:
        ValueError: height or width below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1, got {height} x {width}")
    source = (clip.height, clip.width)
    box = box_of(source, height, width)
    inner_h, inner_w = box.height, box.width
    if source == (height, width):
        return clip, box
    frames = np.empty((len(clip), height, width, 3), np.uint8)
    frames[:] = border_colour(clip.frames)
    for canvas, frame in zip(frames, clip.frames, strict=True):
        canvas[box.top : box.top + inner_h, box.left : box.left + inner_w] = resize(frame, inner_h, inner_w)
    original = clip.original if clip.original is not None or len(clip) > 1 else clip.frames[0]
    placed = from_frames(
        frames,
        clip.fps,
        clip.name,
        clip.is_image,
        times=clip.times,
        notes=clip.notes,
        original=original,
        fitted_from=clip.source_size,
    )
    return replace(placed, transparent=clip.transparent, sound=clip.sound), box


def unletterbox(frames: np.ndarray, box: Box) -> np.ndarray:
    """The content rectangle of (F, H, W, C) frames of the canvas size: (F, box.height, box.width, C).

    Raises:
        ValueError: the frames are not of the canvas size.
    """
    if tuple(frames.shape[1:3]) != box.canvas:
        raise ValueError(f"frames are {frames.shape[1]} x {frames.shape[2]}, the box belongs to {box.canvas}")
    return np.ascontiguousarray(frames[:, box.top : box.top + box.height, box.left : box.left + box.width])


def spills(frames: np.ndarray, box: Box) -> bool:
    """Whether cutting (F, H, W, 3) frames of a canvas to its box would cut something off: outside it is not plain.

    Only a box of less than half the canvas is looked at: a wide or tall picture, in which a body that moves finds no
    room. What a network makes of narrow bars says nothing.
    """
    height, width = box.canvas
    if 2 * box.height * box.width >= height * width:
        return False
    outside = np.ones((height, width), bool)
    outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    pixels = frames[:, outside].astype(np.int16)  # (F, n, 3)
    away = np.abs(pixels - np.median(pixels, axis=(0, 1)).astype(np.int16)).max(-1)  # (F, n)
    return bool((away > _FAR).mean() > _SPILT)


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """One (H, W, 3) uint8 frame at another size: area averages when shrinking, linear when growing (no ringing)."""
    if frame.shape[:2] == (height, width):
        return frame
    shrinks = height < frame.shape[0] or width < frame.shape[1]
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
