"""Ready-made masks, depth and correspondence: pictures, a video or arrays, checked and brought to the clip's frame.

Maps of another size are letterboxed as the clip itself was (whole, centred, see `media.letterbox`); the rest of the
frame is background. Arrays are read without unpickling. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import Limits, read_clip
from motionkit.media.arrays import read_arrays
from motionkit.media.limits import shown
from motionkit.weights.finding import shipped

_ARRAYS = (".npy", ".npz")
_LIMITS = Limits()


@dataclass(frozen=True)
class Correspondence:
    """Which point of frame 0 each subject pixel shows: exactly one of the two is given.

    Attributes:
        points: (F, H, W, 2) float32, x before y, from -1 to 1 on the centres of the outer pixels of frame 0 (as in
            `motionkit.diffusion.warp`); NaN off the subject.
        colours: (F, H, W, 3) float32 in [0, 1]: a colour for each point of frame 0, ready-made; 0 off the subject.
    """

    points: np.ndarray | None = None
    colours: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.points is None) == (self.colours is None):
            raise ValueError("a correspondence has either points or colours")


def read_masks(path: str, count: int, height: int, width: int) -> np.ndarray:
    """Masks (count, height, width) bool from pictures or a video (white on black), or an array (F, h, w).

    Raises:
        UserError: not readable, another number of frames, or values of which it is not clear what is white.
    """
    maps, moving = _maps(path, "masks", count, ("masks", "mask"))
    maps = _grey(maps, path, "masks")
    placed = letterbox_maps(maps.astype(np.float32) / (255.0 if moving else _white(maps, path)), height, width)
    return placed > 0.5


def _white(maps: np.ndarray, path: str) -> float:
    """The value that is white in masks: 1, 255 or 65535."""
    if maps.dtype.kind == "f" and not np.isfinite(maps).all():
        raise UserError(f"masks: {shown(path)} holds values that are not numbers: give 0 and 1, or 0 and 255")
    least, most = float(maps.min(initial=0)), float(maps.max(initial=0))
    white = 1.0 if most <= 1 else 255.0 if most <= 255 else 65535.0
    if least < 0 or not white / 2 < most <= white and most > 0:
        raise UserError(
            f"masks: {shown(path)} holds values from {least:g} to {most:g}, none of them white: "
            "give 0 and 1, or 0 and 255"
        )
    return white


def read_depth(path: str, count: int, height: int, width: int) -> np.ndarray:
    """Depth (count, height, width) float32, larger = nearer, at least 0; pictures may have 16 bits.

    Raises:
        UserError: not readable, another number of frames, negative or no numbers.
    """
    maps = _grey(_maps(path, "depth", count, ("depth",))[0], path, "depth").astype(np.float32)
    if not np.isfinite(maps).all() or maps.min(initial=0) < 0:
        raise UserError(f"depth: {shown(path)} holds negative values or none: give finite numbers from 0 up")
    return letterbox_maps(maps, height, width)


def read_correspondence(path: str, count: int, height: int, width: int) -> Correspondence:
    """Colours from pictures or a video, or points (F, h, w, 2) or colours (F, h, w, 3) from an array.

    Points are (x, y) in the map's own frame 0, from -1 to 1 on its outer pixels' centres, NaN where there are none.
    Colours of arrays of floats are in [0, 1].

    Raises:
        UserError: not readable, another number of frames, or values out of range.
    """
    maps, _ = _maps(path, "correspondence", count, ("points", "colours", "colors"))
    if maps.ndim != 4 or maps.shape[-1] not in (2, 3):
        wanted = "points (F, h, w, 2) or colours (F, h, w, 3)"
        raise UserError(f"correspondence: {shown(path)} is {maps.shape}: give {wanted}")
    if maps.shape[-1] == 3:
        colours = maps.astype(np.float32) / (255 if maps.dtype == np.uint8 else 1)
        if not np.isfinite(colours).all() or colours.min() < 0 or colours.max() > 1:
            raise UserError(f"correspondence: colours in {shown(path)} must be from 0 to 1")
        return Correspondence(colours=letterbox_maps(colours, height, width, smooth=False))
    points = maps.astype(np.float32)
    if np.isinf(points).any() or np.nanmax(np.abs(points), initial=0) > 1.001:
        raise UserError(f"correspondence: points in {shown(path)} must be from -1 to 1 (NaN where there are none)")
    return Correspondence(points=letterbox_points(points, height, width))


def letterbox_maps(maps: np.ndarray, height: int, width: int, smooth: bool = True) -> np.ndarray:
    """Maps (F, h, w) or (F, h, w, C) float32 whole and centred in (height, width), 0 around them.

    smooth: averages or linear; else the nearest value, where values must not mix.
    """
    top, left, inner_h, inner_w = _box(maps.shape[1:3], height, width)
    out = np.zeros((len(maps), height, width, *maps.shape[3:]), np.float32)
    shrinks = inner_h < maps.shape[1] or inner_w < maps.shape[2]
    how = cv2.INTER_NEAREST_EXACT if not smooth else cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    for canvas, picture in zip(out, maps, strict=True):
        resized = cv2.resize(np.ascontiguousarray(picture), (inner_w, inner_h), interpolation=how)
        canvas[top : top + inner_h, left : left + inner_w] = resized
    return out


def letterbox_points(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Points (F, h, w, 2) of `Correspondence` in a larger or smaller frame: where they are, and what they say."""
    source_h, source_w = points.shape[1:3]
    top, left, inner_h, inner_w = _box((source_h, source_w), height, width)
    out = np.full((len(points), height, width, 2), np.nan, np.float32)
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * s / n).astype(int), s - 1)
        for n, s in ((inner_h, source_h), (inner_w, source_w))
    )
    nearest = points[:, rows][:, :, columns]  # (F, inner_h, inner_w, 2)
    for axis, (size, inner, start, whole) in enumerate(
        ((source_w, inner_w, left, width), (source_h, inner_h, top, height))
    ):
        pixel = (nearest[..., axis] + 1) / 2 * (size - 1)
        moved = start + (pixel + 0.5) * inner / size - 0.5
        out[:, top : top + inner_h, left : left + inner_w, axis] = moved / max(whole - 1, 1) * 2 - 1
    return out


def _box(source: tuple[int, ...], height: int, width: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the content: the rule of `media.letterbox`."""
    scale = min(height / source[0], width / source[1])
    inner_h, inner_w = min(height, max(1, round(source[0] * scale))), min(width, max(1, round(source[1] * scale)))
    return (height - inner_h) // 2, (width - inner_w) // 2, inner_h, inner_w


def _maps(path: str, what: str, count: int, names: tuple[str, ...]) -> tuple[np.ndarray, bool]:
    """The maps of a file or folder: (F, h, w) or (F, h, w, C), of `count` frames; and whether they are of a video."""
    file = Path(path).expanduser()
    if not file.exists():
        raise UserError(f"{what}: no file or folder {shown(path)}")
    moving = False
    if file.suffix.lower() in _ARRAYS and file.is_file():
        maps = _array(file, what, names)
    elif (deep := _sixteen_bits(file)) is not None:
        maps = deep
    else:
        clip = read_clip(file, _LIMITS)
        maps, moving = clip.frames, not clip.is_image and file.is_file()
    if maps.ndim < 3 or 0 in maps.shape:
        raise UserError(f"{what}: {shown(path)} is {maps.shape}: it must be (frames, height, width)")
    if len(maps) != count:
        raise UserError(
            f"{what}: {shown(path)} has {len(maps)} frame(s), the clip {count}: give one for each frame that is used "
            f"(frames={len(maps)}, if it is of the same frames)"
        )
    return maps, moving


def _array(file: Path, what: str, names: tuple[str, ...]) -> np.ndarray:
    """An array of a .npy, or of an .npz that has one of `names` or only one array."""
    _LIMITS.check_file(file)

    def choose(held: list[str]) -> list[str]:
        found = [name for name in names if name in held] or held
        if len(found) != 1:
            raise UserError(f"{what}: {shown(file)} holds {shown(', '.join(held))}: name the one array {names[0]!r}")
        return found

    try:
        (array,) = read_arrays(file, _LIMITS.max_memory, choose).values()
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{what}: {shown(file)} is not a usable array file ({reason})") from error
    return _numbers(array, file, what)


def _numbers(array: np.ndarray, file: Path, what: str) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise UserError(f"{what}: {shown(file)} holds {array.dtype}, not numbers")
    if array.size * 4 > _LIMITS.max_memory:
        raise UserError(f"{what}: {shown(file)} is {array.shape}, over {_LIMITS.max_memory >> 20} MiB; make it smaller")
    return array


def _sixteen_bits(folder: Path) -> np.ndarray | None:
    """(F, h, w) of a folder of grey pictures of 16 bits, which `read_clip` would cut to 8; None when it is none."""
    if not folder.is_dir():
        return None
    files = [file for file in folder.glob("*.png") if not file.name.startswith(".")]
    try:
        for file in files:
            with Image.open(file, formats=("PNG",)) as image:
                _LIMITS.check_size(file, *image.size)
                if not image.mode.startswith("I"):
                    return None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # said by read_clip
        return None
    if not files:
        return None
    clip = read_clip(folder, _LIMITS)  # the order of the pictures, and every check on them
    deep = [np.asarray(Image.open(file, formats=("PNG",)), np.float32) for file in _in_order(files)]
    return np.stack(deep) if len(deep) == len(clip) else None


def _in_order(files: list[Path]) -> list[Path]:
    from motionkit.media.reading import _number

    return sorted(files, key=_number)


def _grey(maps: np.ndarray, path: str, what: str) -> np.ndarray:
    """(F, h, w) of (F, h, w), (F, h, w, 1), (F, 1, h, w) or grey RGB."""
    if maps.ndim == 4 and maps.shape[-1] == 3:
        return maps.mean(-1)
    if maps.ndim == 4 and 1 in (maps.shape[1], maps.shape[-1]):
        maps = maps.squeeze(1 if maps.shape[1] == 1 else -1)
    if maps.ndim != 3:
        raise UserError(f"{what}: {shown(path)} is {maps.shape}: it must be (frames, height, width)")
    return maps


def pocket_file() -> dict[str, Path]:
    """The sprite network's file. Raises: MissingWeights when it is not there."""
    other = "make them with `make train-pocket-maps`, or give masks=, depth= and correspondence="
    return {"pocket_maps": shipped("perception", "pocket_maps.safetensors", get=other)}
