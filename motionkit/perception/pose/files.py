"""Poses from and to files: npz and json of this toolkit, and OpenPose's own json; pickles are never read.

npz: arrays `points` (F, 18, 2) in fractions of the picture, NaN or -1 where not seen, and where known `feet`
(F, 2, 2), `hands` (F, 2, 21, 2), `faces` (F, 68, 2), `size` (height, width), `fps`. json: the same names with nested
lists and null for an unseen point; without `size` they belong to the clip as it was given, before it is resized to a
working size. Or a list of OpenPose frames ({"people": [{"pose_keypoints_2d": ...}]}), or a folder
with one such file for each frame.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.errors import UserError
from motionkit.media.arrays import read_arrays
from motionkit.media.limits import shown
from motionkit.perception.pose.clip import PoseClip
from motionkit.perception.pose.openpose_json import MAX_SIDE, from_frames

SUFFIXES = (".npz", ".json")
MAX_BYTES, MAX_FRAMES = 2**28, 20000
_PARTS = {"points": (18, 2), "feet": (2, 2), "hands": (2, 21, 2), "faces": (68, 2)}
MAX_JSON, MAX_FPS = 2**26, 1000.0  # bytes of text, frames a second
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, OSError, RecursionError, ArithmeticError, MemoryError)
_FAR = 8.0  # fractions of the picture beyond which coordinates must be pixels


def check(file: Path) -> None:
    """Check that the file is there and of a supported kind. Raises: UserError."""
    path = Path(file)
    if path.is_dir():
        if not any(path.glob("*.json")):
            raise UserError(f"{shown(path)}: the folder holds no .json files of OpenPose")
    elif path.suffix.lower() in (".pkl", ".pickle", ".npy"):
        raise UserError(
            f"{shown(path)}: pickled poses are never read; save their arrays with numpy.savez as .npz "
            "(points (F, 18, 2) in fractions of the picture, and feet, hands, faces where known)"
        )
    elif path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{shown(path)}: poses are read from .npz, .json or a folder of OpenPose's .json files")
    elif not path.is_file():
        raise UserError(f"{shown(path)}: no such file")
    elif path.stat().st_size > (most := MAX_BYTES if path.suffix.lower() == ".npz" else MAX_JSON):
        raise UserError(f"{shown(path)}: {path.stat().st_size >> 20} MiB is too much for poses ({most >> 20} MiB)")


def read(frames: np.ndarray, file: Path, person: str = "tracked") -> PoseClip:
    """The poses of a file, one for each of the frames (F, H, W, 3).

    Raises:
        UserError: what is wrong with the file, or how many poses it has for how many frames.
    """
    clip = load(file, tuple(frames.shape[1:3]), person)
    if len(clip) != len(frames):
        raise UserError(
            f"{shown(file)} holds {len(clip)} poses, the clip has {len(frames)} frames: give one pose for each frame"
        )
    return clip


def load(path: Path, size: tuple[int, int] = (1, 1), person: str = "tracked") -> PoseClip:
    """The poses of a file or folder; `size` (height, width) is that of the pictures where the file does not say.

    Raises:
        UserError: one line that says what is wrong.
    """
    path = Path(path)
    check(path)
    try:
        if path.is_dir():
            names = sorted(p for p in path.glob("*.json") if p.is_file())[:MAX_FRAMES]
            if sum(p.stat().st_size for p in names) > MAX_BYTES:
                raise ValueError(f"its files have over {MAX_BYTES >> 20} MiB")
            return from_frames([json.loads(p.read_text(encoding="utf-8")) for p in names], size, person)
        data: Any = _npz(path) if path.suffix.lower() == ".npz" else json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, list):
            return from_frames(data, size, person)
        return _clip(data, size)
    except _BROKEN as error:
        if isinstance(error, AttributeError | TypeError):
            reason = "it is laid out in another way"
        else:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"{shown(path)} holds no poses that can be read ({reason})") from error


def save(clip: PoseClip, path: Path) -> Path:
    """Writes .npz or .json (by suffix), whole or not at all. Raises: UserError for another suffix."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{shown(path)}: poses are written as .npz or .json")
    data = {name: getattr(clip, name) for name in _PARTS}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    if path.suffix.lower() == ".npz":
        with part.open("wb") as out:
            np.savez_compressed(out, **data, size=np.array(clip.size), fps=np.array(clip.fps))  # type: ignore[arg-type]
    else:
        lists = {name: _nested(value) for name, value in data.items()}
        part.write_text(json.dumps({**lists, "size": list(clip.size), "fps": clip.fps}), encoding="utf-8")
    os.replace(part, path)
    return path


def _npz(path: Path) -> dict[str, Any]:
    wanted = (*_PARTS, "bodies", "size", "fps")
    return dict(read_arrays(path, MAX_BYTES, lambda held: [name for name in wanted if name in held]))


def _clip(data: dict[str, Any], size: tuple[int, int]) -> PoseClip:
    if "points" not in data and "bodies" in data:
        data = {**data, "points": data["bodies"]}
    if "points" not in data:
        raise ValueError("it has no `points`")
    parts = {name: _array(data[name], shape, name) for name, shape in _PARTS.items() if data.get(name) is not None}
    count = len(parts["points"])
    if not 1 <= count <= MAX_FRAMES or any(len(value) != count for value in parts.values()):
        raise ValueError(f"between 1 and {MAX_FRAMES} frames are read, as many of each part")
    stated = data.get("size")
    if stated is not None:
        height, width = (float(v) for v in np.asarray(stated).reshape(-1)[:2])  # (2,)
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise ValueError(f"size is {height:g}, {width:g}: height and width are from 1 to {MAX_SIDE} pixels")
        size = (int(height), int(width))
    fps = float(np.asarray(data.get("fps", 0.0)))
    if not 0 <= fps <= MAX_FPS:
        raise ValueError(f"fps is {fps:g}: it is from 0 to {MAX_FPS:g}")
    return PoseClip.of(parts["points"], size, parts.get("feet"), parts.get("hands"), parts.get("faces"), fps)


def _array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """(F, *shape) float64 with NaN for what is unseen; refuses pixels and infinity."""
    if not isinstance(value, np.ndarray):
        value = np.array(_filled(value), np.float64)
    if value.dtype.kind not in "fiu":
        raise ValueError(f"{name} is not an array of numbers")
    value = value.astype(np.float64)
    if value.ndim == len(shape) + 2 and value.shape[1] == 1:  # the authors have an extra axis for one person
        value = value[:, 0]
    if value.shape[1:] != shape:
        raise ValueError(f"{name} has shape {value.shape}, not (F, {', '.join(map(str, shape))})")
    if np.isinf(value).any() or np.nanmax(np.abs(value), initial=0.0) > _FAR:
        raise ValueError(f"{name} holds pixels or infinity: give fractions of the picture's width and height")
    return value


def _filled(value: Any) -> Any:
    """Nested lists in which null stands for an unseen point."""
    if value is None:
        return [np.nan, np.nan]
    return [_filled(v) if isinstance(v, list) or v is None else v for v in value]


def _nested(value: np.ndarray) -> Any:
    """Lists with null for an unseen point."""
    if value.ndim == 1:
        return [round(float(v), 6) for v in value] if np.isfinite(value).all() else None
    return [_nested(v) for v in value]
