"""Reads every kind of input: a video, a still or animated picture, or a folder of numbered pictures."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from motionkit.errors import UserError
from motionkit.media.clip import Clip, from_frames
from motionkit.media.images import read_picture
from motionkit.media.limits import Limits, shown
from motionkit.media.part import Wanted, choose
from motionkit.media.sniff import CONTAINERS, sniff
from motionkit.media.store import Store
from motionkit.media.timing import part_notes
from motionkit.media.video import read_video

FOLDER_FPS = 8.0  # a folder of pictures has no timing of its own
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def read_clip(
    path: str | os.PathLike[str], limits: Limits | None = None, wanted: Wanted | None = None, fps: float | None = None
) -> Clip:
    """Read a local file or folder; its kind is told from its content, not from its name.

    Args:
        path: mp4, mov, webm, mkv, avi, gif, apng, webp, png or jpg, or a folder of numbered pictures of one size.
        limits: bounds that are checked from headers before anything is decoded.
        wanted: the part that is read, see `motionkit.media.part`: a long video is sampled while it is decoded, and
            never gives a frame twice; a note says which part it is. None for everything.
        fps: frames per second of a folder of pictures, which has no timing of its own; None: `FOLDER_FPS`.

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
    except RuntimeError:  # no user of that name, or no home folder
        raise UserError(f"{shown(text)}: there is no such home folder; give the path without ~") from None
    if os.path.isdir(file):
        return _read_folder(file, limits, wanted, fps or FOLDER_FPS)
    limits.check_file(file)
    return _read_file(file, limits, wanted)


def _read_file(path: Path, limits: Limits, wanted: Wanted | None = None) -> Clip:
    kind = sniff(path)
    return read_video(path, kind, limits, wanted) if kind in CONTAINERS else read_picture(path, limits, wanted)


def _read_folder(folder: Path, limits: Limits, wanted: Wanted | None, fps: float) -> Clip:
    try:
        there = list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{shown(folder)}: cannot be read ({error.strerror}); check the folder") from None
    files = sorted((f for f in there if f.suffix.lower() in _SUFFIXES and not f.name.startswith(".")), key=_number)
    if not files:
        raise UserError(f"{shown(folder)}: the folder holds no png, jpg or webp pictures; give the one that does")
    part = choose(wanted, len(files) / fps, fps) if wanted and len(files) > 1 else None
    notes: tuple[str, ...] = ()
    if part is not None:
        part = part.without_repeats(fps)
        chosen = (np.floor(part.instants * fps).astype(int)).clip(0, len(files) - 1)  # (count,)
        files, fps, notes = [files[i] for i in chosen], part.fps, part_notes(part, chosen)
    limits.check_frames(folder, len(files), 1, 1)
    for file in files:
        limits.check_file(file)
    if sum(file.stat().st_size for file in files) > limits.max_bytes:
        raise UserError(f"{shown(folder)}: the pictures together are over {limits.max_bytes >> 20} MiB; use fewer")
    store, first, transparent = Store(folder, len(files)), None, False
    for file in files:
        clip = _read_file(file, limits)
        if len(clip) != 1:
            raise UserError(f"{shown(file)}: is animated; a folder must hold one still picture per frame")
        first = first or (clip.width, clip.height)
        if (clip.width, clip.height) != first:
            raise UserError(
                f"{shown(file)}: {clip.width} x {clip.height}, but {files[0].name} is "
                f"{first[0]} x {first[1]}; all pictures of a folder need one size"
            )
        transparent |= clip.transparent
        store.add(clip.frames[0])
        limits.check_frames(folder, store.count, clip.width, clip.height)
    return replace(from_frames(store.frames, fps, folder.resolve().name, notes=notes), transparent=transparent)


def _number(file: Path) -> tuple[str, int, str]:
    """Sort key: frame10 after frame9."""
    match = re.search(r"(\d+)\D*$", file.stem)
    return (file.stem[: match.start(1)], int(match[1]), file.name) if match else (file.stem, -1, file.name)
