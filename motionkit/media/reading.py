"""One door for every input: a video, a still or animated picture, or a folder of numbered pictures."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from motionkit.errors import UserError
from motionkit.media.clip import Clip, from_frames
from motionkit.media.images import read_picture
from motionkit.media.limits import Limits, shown
from motionkit.media.sniff import CONTAINERS, sniff
from motionkit.media.video import read_video

FOLDER_FPS = 8.0  # a folder of pictures has no timing of its own
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def read_clip(path: str | os.PathLike[str], limits: Limits | None = None) -> Clip:
    """Read a local file or folder; its kind is told from its content, not from its name.

    Args:
        path: mp4, mov, webm, mkv, avi, gif, apng, webp, png or jpg, or a folder of numbered pictures of one size.
        limits: bounds that are checked from headers before anything is decoded.

    Returns:
        The clip as a viewer shows it: upright, square pixels, over white, frame times kept.

    Raises:
        UserError: in one line, what is wrong with the input and what to do.
    """
    limits = limits or Limits()
    text = os.fspath(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise UserError(f"{shown(text)}: only local files are read; download it first")
    if not text or "\0" in text:
        raise UserError("no file given: a path must not be empty or contain a zero byte")
    try:
        file = Path(text).expanduser()
    except RuntimeError:  # nobody of that name, or no home folder
        raise UserError(f"{shown(text)}: there is no such home folder; give the path without ~") from None
    if os.path.isdir(file):
        return _read_folder(file, limits)
    limits.check_file(file)
    return _read_file(file, limits)


def _read_file(path: Path, limits: Limits) -> Clip:
    kind = sniff(path)
    return read_video(path, kind, limits) if kind in CONTAINERS else read_picture(path, limits)


def _read_folder(folder: Path, limits: Limits) -> Clip:
    try:
        there = list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be read ({error.strerror}); check the folder") from None
    files = sorted((f for f in there if f.suffix.lower() in _SUFFIXES and not f.name.startswith(".")), key=_number)
    if not files:
        raise UserError(f"{shown(folder)}: the folder holds no png, jpg or webp pictures; give the one that does")
    limits.check_frames(folder, len(files), 1, 1)
    for file in files:
        limits.check_file(file)
    if sum(file.stat().st_size for file in files) > limits.max_bytes:
        raise UserError(f"{shown(folder)}: the pictures together are over {limits.max_bytes >> 20} MiB; use fewer")
    frames: list[np.ndarray] = []
    for file in files:
        clip = _read_file(file, limits)
        if len(clip) != 1:
            raise UserError(f"{shown(file)}: is animated; a folder must hold one still picture per frame")
        if frames and clip.frames[0].shape != frames[0].shape:
            raise UserError(
                f"{shown(file)}: {clip.width} x {clip.height}, but {files[0].name} is "
                f"{frames[0].shape[1]} x {frames[0].shape[0]}; all pictures of a folder need one size"
            )
        frames.append(clip.frames[0])
        limits.check_frames(folder, len(frames), clip.width, clip.height)
    return from_frames(np.stack(frames), FOLDER_FPS, folder.resolve().name)


def _number(file: Path) -> tuple[str, int, str]:
    """Sort key: frame10 after frame9."""
    match = re.search(r"(\d+)\D*$", file.stem)
    return (file.stem[: match.start(1)], int(match[1]), file.name) if match else (file.stem, -1, file.name)
