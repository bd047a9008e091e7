"""Still and animated pictures (PNG, JPEG, WebP, GIF, APNG) through Pillow, as RGB over white."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from motionkit.errors import UserError
from motionkit.media.clip import Clip, from_frames
from motionkit.media.limits import Limits, shown
from motionkit.media.sniff import IMAGES
from motionkit.media.timing import spread

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_picture(path: Path, limits: Limits) -> Clip:
    """A still picture as a clip of one frame, an animated one as a clip with its own frame times.

    Raises:
        UserError: over a limit, or damaged.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
        with _open(path, limits) as image:
            animated = image.format in ("GIF", "WEBP", "PNG") and getattr(image, "n_frames", 1) > 1
            if animated:
                clip = _read_animation(path, image, limits)
            else:
                still, notes = _read_still(path, image, limits)
                clip = from_frames(still, 1.0, path.stem, is_image=True, notes=notes)
    remarks = dict.fromkeys(" ".join(str(warning.message).split()) for warning in said)
    return replace(clip, notes=(*clip.notes, *remarks))


def _vanishes(image: Image.Image) -> bool:
    """Whether a transparent picture shows something, but nothing that could be seen on white (chalk on nothing)."""
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return False
    rgba = np.asarray(image.convert("RGBA"))
    alpha = rgba[..., 3]
    return bool(alpha.min() < 128 < alpha.max() and over_white(rgba).min() > 235)


def _open(path: Path, limits: Limits) -> Image.Image:
    try:
        image = Image.open(path, formats=IMAGES)
    except Image.DecompressionBombError:
        raise UserError(
            f"{shown(path)}: the picture is over the limit of {limits.max_pixels} pixels; make it smaller"
        ) from None
    except _BROKEN:
        raise UserError(f"{shown(path)}: the picture is damaged; save or download it again") from None
    limits.check_size(path, *image.size)
    return image


def _read_still(path: Path, image: Image.Image, limits: Limits) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except _BROKEN as error:
        raise UserError(f"{shown(path)}: the picture is damaged or cut off ({_reason(error)}); get it again") from None
    if _vanishes(upright):
        negative = _over_black(np.asarray(upright.convert("RGBA")))
        return _shrink(negative, limits), ("the picture is white on nothing: it was laid over black to be seen",)
    return _shrink(to_rgb(upright), limits), ()


def _read_animation(path: Path, image: Image.Image, limits: Limits) -> Clip:
    width, height = limits.fit(*image.size)
    limits.check_frames(path, image.n_frames, width, height)  # type: ignore[attr-defined]
    frames: list[np.ndarray] = []
    seconds: list[float] = []
    notes: tuple[str, ...] = ()
    promised = image.n_frames  # type: ignore[attr-defined]
    try:
        for rgb, milliseconds in _animation_frames(image):
            limits.check_size(path, rgb.shape[1], rgb.shape[0])
            frames.append(_shrink(rgb, limits))
            seconds.append(milliseconds / 1000)
            limits.check_frames(path, len(frames), width, height)
            limits.check_seconds(path, sum(seconds))
    except _BROKEN as error:
        if not frames:
            raise UserError(f"{shown(path)}: the animation is damaged ({_reason(error)}); get it again") from None
        notes = (f"the file is damaged: {len(frames)} of {promised} frames were read",)
    times, fps = spread(np.concatenate([[0.0], np.cumsum(seconds)]))
    return from_frames(np.stack(frames), fps, path.stem, times=times, notes=notes)


def _animation_frames(image: Image.Image) -> Iterator[tuple[np.ndarray, float]]:
    """Each frame as shown (Pillow applies disposal and blending) with its milliseconds."""
    size = image.size
    skip_first = bool(image.info.get("default_image"))  # an APNG's fallback for programs that do not animate
    for index, frame in enumerate(ImageSequence.Iterator(image)):
        if skip_first and index == 0:
            continue
        frame.load()
        milliseconds = float(frame.info.get("duration", 0))
        rgb = to_rgb(frame if frame.size == size else frame.crop((0, 0, *size)))
        # Browsers show a frame of 10 ms or less for 100 ms, and files are made for what browsers do.
        yield rgb, milliseconds if milliseconds > 10 else 100.0


def to_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 of any Pillow mode: transparency over white, 16 bits scaled down, CMYK converted."""
    if image.mode.startswith("I"):  # 16-bit grey PNG
        grey = np.rint(np.asarray(image).astype(np.float64) / 257).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)  # (H, W, 3)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        return over_white(rgba)
    return np.array(image.convert("RGB"))


def over_white(rgba: np.ndarray) -> np.ndarray:
    """(..., 4) uint8 with straight alpha, laid over white: (..., 3) uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = rgba[..., :3].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _over_black(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def _shrink(rgb: np.ndarray, limits: Limits) -> np.ndarray:
    height, width = rgb.shape[:2]
    target = limits.fit(width, height)
    if target == (width, height):
        return rgb
    import cv2

    return cv2.resize(rgb, target, interpolation=cv2.INTER_AREA)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
