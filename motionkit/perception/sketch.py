"""Turns a drawing as people have it (scan, phone photo, chalkboard, any picture) into black lines on white.

Also the way back: frames made strictly black on white (Otsu 1979), which FlipSketch does to its results
(Bandyopadhyay and Song 2024, https://arxiv.org/abs/2411.10818, and its published code).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from motionkit.errors import UserError, unknown
from motionkit.perception.estimators import Asked, View, Words
from motionkit.perception.facts import measure
from motionkit.perception.ink import Ink, find_ink, redraw
from motionkit.settings.setting import check, setting

SOURCES = Words(
    "drawing",
    {
        "auto": "a drawing is used as it is, any other picture is reduced to its outlines",
        "drawing": "the picture is a drawing, whatever it looks like",
    },
)
BINARISERS = ("otsu", "grey", "none")
PAPER = 192  # grey levels: a frame whose middle level is darker shows no paper
SMALLEST = 16  # pixels; nothing can be drawn on less
LARGEST = 2**26  # pixels of a frame
PARITY_SIDE = 1024  # pixels; where the authors' post-processing works


@dataclass
class SketchSettings:
    """How a picture becomes a line drawing."""

    source: str = setting("How the picture becomes a drawing.", "auto", choices=SOURCES)
    clean: bool = setting("Whether uneven lighting is removed and strokes are redrawn.", True)
    thickness: float | None = setting(
        "Width of all strokes of the result; null keeps their own widths.", None, low=0.5, high=64, unit="px"
    )
    least: float = setting(
        "Without thickness: no stroke is drawn narrower than this.", 1.5, low=0.5, high=64, unit="px"
    )
    weights: str = setting(
        "For lineart: a folder with sk_model.pth and sk_model2.pth, or a hub id.",
        "lllyasviel/Annotators",
        file="folder",
    )
    coarse: bool = setting("For lineart: draw fewer lines.", False)

    def check(self) -> None:
        """Refuse impossible settings.

        Raises:
            UserError: one line that names the setting.
        """
        SOURCES.check(self.source)
        check(self, "sketch ")


@dataclass(frozen=True)
class Drawing:
    """A line drawing that was read.

    Attributes:
        image: (H, W, 3) uint8, black lines on white with smooth edges.
        kind: what the picture was: "lines" or "photo".
        notes: how it was read, for the manifest: source used, why, what was measured and repaired.
    """

    image: np.ndarray
    kind: str
    notes: dict[str, Any] = field(default_factory=dict)


def read_drawing(
    frame: np.ndarray, settings: SketchSettings | None = None, size: tuple[int, int] | None = None
) -> Drawing:
    """Read a picture as a line drawing.

    Args:
        frame: (H, W, 3) uint8 RGB; transparency already laid over white, as `media.read_clip` does.
        settings: how to read it; the default decides automatically.
        size: (height, width) of the result, the drawing centred on white without stretching; None keeps the frame's
            size. Give a large scan at its own size and ask for a small result: lines then stay visible.

    Raises:
        UserError: the picture is tiny, huge, of one colour, or has nothing drawn on it.
        MissingWeights: `lineart` without controlnet-aux or its weights.
        ValueError: the frame is no uint8 (H, W, 3) array.
    """
    settings = settings or SketchSettings()
    settings.check()
    _check_frame(frame)
    height, width = size or frame.shape[:2]
    inner = _inner(frame.shape[:2], height, width)
    ink = find_ink(frame, max(inner))
    facts = measure(ink)
    kind = "lines" if facts.is_lines else "photo"
    source = settings.source
    if source == "auto":
        source = "drawing" if kind == "lines" else "edges"
    notes: dict[str, Any] = {"kind": kind, "source": source, "why": facts.why, **facts.as_dict()}
    if source == "drawing":
        image = _cleaned(frame, ink, settings, inner, notes)
    else:
        image = _pictured(frame, settings, source, inner, notes)
    if settings.source == "auto" and source == "edges":
        notes["said"] = f"the picture is not a line drawing ({facts.why}): its outlines are used (source=edges)"
    return Drawing(_centred(image, height, width), kind, notes)


def _check_frame(frame: np.ndarray) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise ValueError(f"a drawing must be uint8 of shape (H, W, 3), got {frame.dtype} {frame.shape}")
    height, width = frame.shape[:2]
    if min(height, width) < SMALLEST:
        raise UserError(f"the drawing is only {width} x {height} pixels; give one of at least {SMALLEST} x {SMALLEST}")
    if height * width > LARGEST:
        raise UserError(f"the drawing is {width} x {height}, over the limit of {LARGEST} pixels; make it smaller")
    low, high = (value.astype(int) for value in (frame.min((0, 1)), frame.max((0, 1))))
    if (high - low).max() < 8:
        colour = tuple(int(c) for c in np.median(frame.reshape(-1, 3), axis=0))  # (3,)
        if max(colour) < 24:
            raise UserError("the drawing is entirely black; give black lines on a white ground")
        if min(colour) > 240:
            raise UserError("the drawing is empty: the paper is entirely white; draw something first")
        raise UserError(f"the drawing is one single colour (rgb {colour}); nothing is drawn on it")


def _cleaned(
    frame: np.ndarray, ink: Ink, settings: SketchSettings, inner: tuple[int, int], notes: dict[str, Any]
) -> np.ndarray:
    if not ink.mask.any():
        raise UserError("nothing is drawn: no stroke stands out from the paper; draw it darker or light it better")
    notes |= {"inverted": ink.inverted, "light_lost": round(ink.unevenness, 3), "around_sheet": round(ink.margin, 3)}
    if not settings.clean:
        notes["cleaned"] = False
        plain = 255 - frame if ink.inverted else frame
        return cv2.resize(plain, inner[::-1], interpolation=cv2.INTER_AREA) if plain.shape[:2] != inner else plain
    notes["cleaned"] = True
    return redraw(ink.mask, *inner, settings.thickness, settings.least)


def _pictured(
    frame: np.ndarray, settings: SketchSettings, source: str, inner: tuple[int, int], notes: dict[str, Any]
) -> np.ndarray:
    mask, widths = Asked("drawing", source).read(View(frame[None], side=max(inner)), settings)
    notes["outline_fraction"] = round(float(mask.mean()), 4)
    if not mask.any():
        raise UserError(f"nothing is drawn: the picture has no outlines either (source={source}); give a clearer one")
    thickness = settings.thickness
    if thickness is None and not widths:
        thickness = max(settings.least, max(inner) / 128)
    return redraw(mask, *inner, thickness, settings.least)


def _inner(source: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """(height, width) of the drawing inside the result: the rule of `media.letterbox`."""
    scale = min(height / source[0], width / source[1])
    return min(height, max(1, round(source[0] * scale))), min(width, max(1, round(source[1] * scale)))


def _centred(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    out = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out


def binarise(frames: np.ndarray, method: str = "otsu") -> np.ndarray:
    """Frames strictly black on white, each split at its own Otsu threshold, or in shades of grey on white paper.

    A frame without contrast (all greys within 16 levels) has no two classes to split: it becomes plain white, or plain
    black where it is darker than mid grey.

    Args:
        frames: (F, H, W, 3) uint8.
        method: otsu; grey: soft lines stay soft, tints go, and the paper, which is a frame's median level, is white;
            or none to give the frames back.

    Returns:
        (F, H, W, 3) uint8, with otsu only 0 and 255.

    Raises:
        UserError: unknown method.
        ValueError: frames of another kind.
    """
    if method not in BINARISERS:
        raise unknown("binarisation", str(method), BINARISERS)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")
    if method == "none":
        return frames
    finish = _split if method == "otsu" else _on_white
    return np.stack([finish(frame) for frame in frames]) if len(frames) else frames


def binarise_parity(frames_rgba: np.ndarray, side: int = PARITY_SIDE) -> np.ndarray:
    """The FlipSketch authors' own post-processing: a bilinear resize to a square, alpha dropped, then Otsu.

    Args:
        frames_rgba: (F, H, W, 4) uint8.

    Returns:
        (F, side, side, 3) uint8, only 0 and 255.
    """
    if frames_rgba.dtype != np.uint8 or frames_rgba.ndim != 4 or frames_rgba.shape[-1] != 4:
        raise ValueError(f"frames must be uint8 of shape (F, H, W, 4), got {frames_rgba.dtype} {frames_rgba.shape}")
    return np.stack([_split(cv2.resize(frame, (side, side))[..., :3]) for frame in frames_rgba])


def _on_white(frame: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    if (paper := float(np.median(grey))) >= PAPER:
        grey = (grey * (255 / paper)).round().clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)  # (H, W, 3)


def _split(frame: np.ndarray) -> np.ndarray:
    # The grey value is that of the inverted frame, inverted back: rounding differs from the direct one.
    grey = 255 - cv2.cvtColor(np.ascontiguousarray(255 - frame), cv2.COLOR_RGB2GRAY)
    if int(grey.max()) - int(grey.min()) < 16:
        return np.full(frame.shape, 255 if grey.mean() >= 128 else 0, np.uint8)
    _, split = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return np.repeat(split[..., None], 3, axis=-1)  # (H, W, 3)
