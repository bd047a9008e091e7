"""Writing results: every file is renamed to its final name when it is complete."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError, unknown

if TYPE_CHECKING:
    import numpy as np

    from motionkit.media import Sound

VIDEOS, GIF, ANIMATIONS = (".mp4", ".webm", ".mov"), ".gif", {".webp": "WEBP", ".png": "PNG"}
SUFFIXES = (*VIDEOS, GIF, *ANIMATIONS)
LOOPS = ("none", "pingpong")


@dataclass(frozen=True)
class Finish:
    """What is done to a result as it is written.

    Attributes:
        alpha: whether the background is transparent; None: where the reference was transparent.
        loop: "pingpong" plays forwards and backwards, so that it can loop endlessly.
    """

    alpha: bool | None = None
    loop: str = "none"

    def check(self, output: Path | None) -> None:
        """Refuse what cannot be written. Raises: UserError."""
        if self.loop not in LOOPS:
            raise unknown("loop", str(self.loop), LOOPS)
        if self.alpha and output is not None and output.suffix.lower() == ".mp4":
            raise UserError(
                f"alpha=true: an mp4 has no transparency: give output={output.stem}.webm, .mov, .gif, .webp, .png, or "
                "a name without suffix for a folder of frames"
            )


def local_path(text: str) -> Path:
    """A path as a user types it: "~" is the home folder, unless a file has that name.

    Raises:
        UserError: it is an address on the network, or an unknown home folder.
    """
    if "\0" in text:
        raise UserError(f"{text[:200]!r}: a path must not contain a zero byte")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):  # before Path makes one slash of the two
        raise UserError(f"{text}: only local files are read and written; download it first")
    path = Path(text)
    if not text.startswith("~") or os.path.exists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError as error:  # no user of that name, or no home folder
        raise UserError(f"{text}: there is no such home folder: give the path without ~") from error


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder with the same suffix; it becomes `path` when the block ends well."""
    temporary = path.with_name(f".{path.stem[:60]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """As `temporary_beside`, with an error that names `path` and not the temporary one."""
    with writing(path), temporary_beside(path) as temporary:
        try:
            yield temporary
        except UserError as error:
            raise UserError(str(error).replace(str(temporary), str(path))) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the file system into one line.

    Raises:
        UserError: the disk is full, or the place cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"no space left on the disk of {path}: free some, or write elsewhere") from error
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")


def write_result(
    path: Path,
    frames: np.ndarray,
    fps: float,
    label: str = "",
    *,
    alpha: np.ndarray | None = None,
    sound: Sound | None = None,
    loop: str = "none",
) -> Path:
    """Write frames (F, H, W, 3) uint8 by suffix, one of `SUFFIXES`, or none for a folder of png frames.

    Args:
        label: goes into the comment tag of a video.
        alpha: (F, H, W) uint8, for every kind but mp4.
        sound: for videos.
        loop: see `Finish`; the backwards part is silent.

    Raises:
        UserError: another suffix, a folder that is not empty, or a place that cannot be written.
    """
    from motionkit import media

    check_suffix(path)
    suffix = path.suffix.lower()
    if loop == "pingpong":
        frames, sound = there_and_back(frames), None
        alpha = None if alpha is None else there_and_back(alpha)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_name(path)
        if suffix in VIDEOS:
            media.write_video(path, frames, fps, comment=label, alpha=alpha, sound=sound)
        elif suffix == GIF:
            media.write_gif(path, frames, fps, alpha)
        elif suffix in ANIMATIONS:
            media.write_animation(path, frames, fps, alpha, ANIMATIONS[suffix])
        else:
            _refuse_full_folder(path)
            with temporary_beside(path) as temporary:
                media.write_frames(temporary, frames, alpha)
    return path


def there_and_back(frames: np.ndarray) -> np.ndarray:
    """Frames (F, ...) followed by those between the last and the first, backwards: (2F - 2, ...) for F > 2."""
    import numpy as np

    return np.concatenate([frames, frames[-2:0:-1]])


def check_suffix(path: Path) -> None:
    """Refuse an output whose kind is unknown, or that is a suffix alone."""
    if path.name.lower() in SUFFIXES:
        raise UserError(f"output {path} lacks a name before {path.name}: give {path.with_name('out' + path.name)}")
    if path.suffix.lower() not in (*SUFFIXES, ""):
        raise UserError(
            f"cannot write {path.name}: output ends in {', '.join(SUFFIXES)}, or has no suffix for a folder of frames"
        )


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, an output that cannot be written or that is one of the inputs.

    Raises:
        UserError: one line that says what is wrong with it.
    """
    check_suffix(path)
    _check_name(path)
    for given in inputs:
        if _same(path, given):
            raise UserError(f"output {path} is also an input: choose another name")
    if path.suffix and path.is_dir():
        raise UserError(f"output {path} is a folder: give a file name, such as {path / 'out.mp4'}")
    if not path.suffix:
        _refuse_full_folder(path)
    check_writable(path.parent)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written; the nearest one that exists decides.

    Raises:
        UserError: it is a file, or writing is not allowed.
    """
    _check_name(folder)
    there = folder.absolute()
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UserError(f"cannot write into {folder}: {there} is not a folder; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {folder}: permission denied; choose another folder")


def _check_name(path: Path) -> None:
    """Refuse a name that the file system does not accept, and the name of a device."""
    try:
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return  # nothing there yet; whether it can be created is checked next
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write {str(path)[:200]}: {why}: choose another name") from error
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise UserError(f"cannot write {path}: it is a device, not a file or folder: choose another name")


def _refuse_full_folder(path: Path) -> None:
    if path.is_file():
        raise UserError(f"output {path} is a file: a folder of frames needs a new name")
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"output folder {path} is not empty: choose another name")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.absolute() == other.absolute()
