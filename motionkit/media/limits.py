"""Limits on the size of an input file, and the errors for it; all checks here need only headers."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from motionkit.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Bounds on one input.

    Attributes:
        max_bytes: size of the file (for a folder: of all its pictures together).
        max_pixels: width x height of one frame of a video or an animation as stored in the file; a still picture of
            more is decoded smaller.
        max_frames: number of frames.
        max_seconds: duration.
        max_memory: bytes of all decoded RGB frames together.
        longest_side: larger frames are shrunk to this while they are read (no method here works above it).
        max_picture: width x height of a still picture.
        max_work: frames that are decoded on the way to the part that is wanted.
        max_drawn: width x height of an animation's canvas, times the frames that are drawn on it.
    """

    max_bytes: int = 2**30
    max_pixels: int = 2**24
    max_frames: int = 2000
    max_seconds: float = 300.0
    max_memory: int = 2**31
    longest_side: int = 1024
    max_picture: int = 2**27
    max_work: int = 40_000
    max_drawn: int = 2**31

    def shrunk(self, width: float, height: float) -> tuple[int, int]:
        """(width, height) after shrinking to `longest_side`, never below one pixel."""
        scale = min(1.0, self.longest_side / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Refuse a frame of no or too many pixels."""
        self._check(path, width, height, self.max_pixels)

    def check_picture(self, path: Path, width: int, height: int) -> None:
        """Refuse a still picture of no or too many pixels."""
        self._check(path, width, height, self.max_picture)

    def check_animation(self, path: Path, size: tuple[int, int], frames: int) -> None:
        """Refuse an animation whose frames would take minutes to draw."""
        if size[0] * size[1] * frames > self.max_drawn:
            raise UserError(
                f"{shown(path)}: {frames} frames on a canvas of {size[0]} x {size[1]} are over the limit of "
                f"{self.max_drawn >> 20} million pixels; cut out the part you need, or make it smaller"
            )

    def check_frames(self, path: Path, frames: int, width: int, height: int) -> None:
        """Refuse too many frames, or frames that would not fit into memory at (width, height)."""
        if frames > self.max_frames:
            raise UserError(
                f"{shown(path)}: {frames} frames or more, the limit is {self.max_frames}; cut out the part you need"
            )
        if frames * width * height * 3 > self.max_memory:
            raise UserError(
                f"{shown(path)}: {frames} frames of {width} x {height} need over {self.max_memory >> 20} MiB; "
                "cut out the part you need"
            )

    def check_work(self, path: Path, frames: int) -> None:
        """Refuse to decode too many frames on the way to a part."""
        if frames > self.max_work:
            raise UserError(f"{shown(path)}: that part starts after {frames} frames; cut it out of the file first")

    def check_seconds(self, path: Path, seconds: float) -> None:
        """Refuse a clip that lasts too long."""
        if seconds > self.max_seconds:
            raise UserError(
                f"{shown(path)}: lasts {seconds:.0f} s, the limit is {self.max_seconds:.0f} s; cut out a part"
            )

    @staticmethod
    def _check(path: Path, width: int, height: int, most: int) -> None:
        if width < 1 or height < 1:
            raise UserError(f"{shown(path)}: has an empty picture size ({width} x {height}); export it again")
        if width * height > most:
            raise UserError(f"{shown(path)}: {width} x {height} is over the limit of {most} pixels; make it smaller")

    def check_file(self, path: Path) -> None:
        """Refuse what is not a readable, non-empty local file of acceptable size."""
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"{shown(path)}: cannot be read ({error.strerror}); check the path") from None
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{shown(path)}: is not an ordinary file; give a video, a picture or a folder of pictures")
        if status.st_size == 0:
            raise UserError(f"{shown(path)}: the file is empty (0 bytes); copy or download it again")
        if status.st_size > self.max_bytes:
            raise UserError(
                f"{shown(path)}: {status.st_size >> 20} MiB is over the limit of {self.max_bytes >> 20} MiB; "
                "cut out the part you need"
            )


def shown(path: object) -> str:
    """A path for a message: on one line whatever its name contains, and cut when it is long."""
    text = "".join(c if c.isprintable() else "?" for c in str(path))
    return text if len(text) <= 200 else f"{text[:80]}...{text[-100:]}"
