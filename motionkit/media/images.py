"""Still and animated pictures (PNG, JPEG, WebP, GIF, APNG) through Pillow, as RGB over white."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence

from motionkit.errors import UserError
from motionkit.media.animation import Timing, as_shown, timing
from motionkit.media.clip import Clip, from_frames
from motionkit.media.colour import has_alpha, over_black, over_white, to_rgb, to_srgb
from motionkit.media.limits import Limits, shown
from motionkit.media.part import Part, Wanted, choose
from motionkit.media.sniff import IMAGES
from motionkit.media.store import Store
from motionkit.media.timing import on_grid, part_notes, spread

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)


def read_picture(path: Path, limits: Limits, wanted: Wanted | None = None) -> Clip:
    """A still picture as a clip of one frame, an animated one as a clip with its own frame times.

    Args:
        wanted: the part of an animation that is kept; None for all frames. Never more frames than are there.

    Raises:
        UserError: over a limit, or damaged.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
        with _open(path, limits) as image:
            shows = timing(path, image.format) if image.format in ("GIF", "WEBP", "PNG") else Timing([], True)
            if len(shows.milliseconds) > 1:
                limits.check_size(path, *image.size)
                clip = _read_animation(path, image, limits, wanted, shows)
            else:
                limits.check_picture(path, *image.size)
                clip = read_still(path, image, limits)
    remarks = dict.fromkeys(" ".join(str(warning.message).split()) for warning in said)
    return replace(clip, notes=(*clip.notes, *remarks))


def _vanishes(image: Image.Image) -> bool:
    """Whether a transparent picture shows something, but nothing that is visible on white (such as white chalk)."""
    if image.mode.startswith("I") or not has_alpha(image):
        return False
    rgba = np.asarray(image.convert("RGBA"))
    alpha = rgba[..., 3]
    return bool(alpha.min() < 128 < alpha.max() and over_white(rgba).min() > 235)


def _open(path: Path, limits: Limits) -> Image.Image:
    try:
        return Image.open(path, formats=IMAGES)
    except Image.DecompressionBombError:
        raise UserError(
            f"{shown(path)}: the picture is over the limit of {limits.max_picture} pixels; make it smaller"
        ) from None
    except _BROKEN:
        raise UserError(f"{shown(path)}: the picture is damaged; save or download it again") from None


def read_still(path: Path, image: Image.Image, limits: Limits) -> Clip:
    """A Pillow picture as a clip of one frame; `path` is its name. Raises: UserError where it is damaged."""
    notes: tuple[str, ...] = ()
    profile = image.info.get("icc_profile")
    try:
        reduced = _reduced(image, limits)
        upright = ImageOps.exif_transpose(reduced)
    except _BROKEN as error:
        raise UserError(f"{shown(path)}: the picture is damaged or cut off ({_reason(error)}); get it again") from None
    try:
        upright = to_srgb(upright, profile)
    except UserError as error:
        notes = (f"{error}: its colours are read as sRGB",)
    if _vanishes(upright):
        pixels = over_black(np.asarray(upright.convert("RGBA")))
        notes = (*notes, "the picture is white on a transparent background: it was laid over black to be visible")
    else:
        pixels = to_rgb(upright)
    clip = from_frames(_shrink(pixels, limits), 1.0, path.stem, is_image=True, notes=notes)
    return replace(clip, transparent=_see_through(upright))


def _reduced(image: Image.Image, limits: Limits) -> Image.Image:
    """The decoded picture; one of too many pixels to work on is made smaller as early as its format allows."""
    if image.width * image.height > limits.max_pixels:
        image.draft(None, limits.shrunk(*image.size))  # a JPEG is decoded at a half, a quarter or an eighth
    exif, key = image.getexif(), image.info.get("transparency")
    image.load()
    factor = max(image.size) // limits.longest_side
    if image.width * image.height <= limits.max_pixels or factor < 2:
        return image
    if image.mode.startswith("I"):
        deep = np.asarray(image)[::factor, ::factor] if isinstance(key, int) else _area(np.asarray(image), factor)
        small = Image.fromarray(np.ascontiguousarray(deep.astype(np.uint16)))
    else:
        if image.mode in ("P", "PA", "1") or isinstance(key, bytes | int | tuple):
            image = image.convert("RGBA" if has_alpha(image) else "L" if image.mode == "1" else "RGB")
        small = image.reduce(factor)
    small.info.update({"transparency": key} if image.mode.startswith("I") and key is not None else {})
    if 0x0112 in exif:
        small.getexif()[0x0112] = exif[0x0112]
    return small


def _area(grey: np.ndarray, factor: int) -> np.ndarray:
    import cv2

    size = (max(1, grey.shape[1] // factor), max(1, grey.shape[0] // factor))
    return cv2.resize(grey.astype(np.uint16), size, interpolation=cv2.INTER_AREA)


def _see_through(image: Image.Image) -> bool:
    if image.mode.startswith("I") or not has_alpha(image):
        return has_alpha(image)
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _read_animation(path: Path, image: Image.Image, limits: Limits, wanted: Wanted | None, shows: Timing) -> Clip:
    width, height = limits.shrunk(*image.size)
    edges = on_grid(np.concatenate([[0.0], np.cumsum(shows.seconds)]))[0]
    times, fps = spread(edges)
    part = choose(wanted, float(edges[-1]), fps, times) if wanted else None
    if part is None:
        limits.check_frames(path, len(shows.milliseconds), width, height)
        limits.check_seconds(path, float(edges[-1]))
        wanted_frames = np.arange(len(shows.milliseconds))
    else:
        part = part.without_repeats(fps)
        limits.check_frames(path, part.count, width, height)
        wanted_frames = (np.searchsorted(edges, part.instants + 1e-6, side="right") - 1).clip(0, len(edges) - 2)
    limits.check_animation(path, image.size, int(wanted_frames[-1]) + 1)
    store, seconds, trouble, clear = _pick(path, image, limits, wanted_frames)
    return _assembled(path, store, seconds, trouble, clear, shows, part, wanted_frames)


def _pick(
    path: Path, image: Image.Image, limits: Limits, wanted: np.ndarray
) -> tuple[Store, list[float], BaseException | None, bool]:
    """The frames of those numbers, in order, how long each is shown, what stopped it, and whether any is clear."""
    store, seconds, clear = Store(path, len(wanted)), list[float](), False
    try:
        for number, (frame, milliseconds) in enumerate(_animation_frames(image)):
            times = int((wanted == number).sum())
            if times:
                limits.check_size(path, *frame.size)
                clear |= _see_through(frame)
                rgb = _shrink(to_rgb(frame), limits)
            for _ in range(times):
                store.add(rgb)
                seconds.append(milliseconds / 1000)
            if number >= wanted[-1]:
                break
    except _BROKEN as error:
        if not store.count:
            raise UserError(f"{shown(path)}: the animation is damaged ({_reason(error)}); get it again") from None
        return store, seconds, error, clear
    if not store.count:
        raise UserError(f"{shown(path)}: the animation is damaged (it ends before that part); get it again")
    return store, seconds, None, clear


def _assembled(
    path: Path,
    store: Store,
    seconds: list[float],
    trouble: BaseException | None,
    clear: bool,
    shows: Timing,
    part: Part | None,
    wanted: np.ndarray,
) -> Clip:
    notes: tuple[str, ...] = ()
    if trouble is not None:
        notes = (f"the file is damaged: {store.count} of {len(wanted)} frames were read",)
    elif not shows.whole:
        notes = ("the file's end is missing: it is cut off",)
    if part is None:
        times, fps = spread(np.concatenate([[0.0], np.cumsum(seconds)]))
    else:
        times, fps, notes = None, part.fps, (*notes, *part_notes(part, wanted))
    clip = from_frames(store.frames, fps, path.stem, times=times, notes=notes)
    return replace(clip, transparent=clear)


def _animation_frames(image: Image.Image) -> Iterator[tuple[Image.Image, float]]:
    """Each frame as shown (Pillow applies disposal and blending) with its milliseconds."""
    size = image.size
    skip_first = bool(image.info.get("default_image"))  # an APNG's fallback for programs that do not animate
    for index, frame in enumerate(ImageSequence.Iterator(image)):
        frame.load()
        if skip_first and index == 0:
            continue
        milliseconds = float(frame.info.get("duration", 0))
        yield frame if frame.size == size else frame.crop((0, 0, *size)), as_shown(milliseconds)


def _shrink(rgb: np.ndarray, limits: Limits) -> np.ndarray:
    height, width = rgb.shape[:2]
    target = limits.shrunk(width, height)
    if target == (width, height):
        return rgb
    import cv2

    return cv2.resize(rgb, target, interpolation=cv2.INTER_AREA)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
