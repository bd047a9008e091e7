"""When the frames of a GIF, APNG or animated WebP are shown, read from the file's blocks; no picture is decoded."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST = 400_000  # frames; later ones are not read


@dataclass(frozen=True)
class Timing:
    """How long each frame is shown, in milliseconds as the file says it, and whether the file's end is there."""

    milliseconds: list[float]
    whole: bool

    @property
    def seconds(self) -> list[float]:
        """The same as viewers do it: a frame of 10 ms or less is shown for 100 ms."""
        return [as_shown(value) / 1000 for value in self.milliseconds]


def as_shown(milliseconds: float) -> float:
    """Browsers show a frame of 10 ms or less for 100 ms, and files are made with that in mind."""
    return milliseconds if milliseconds > 10 else 100.0


def timing(path: Path, kind: str) -> Timing:
    """The timing of a file of Pillow's format `kind`; of a damaged one as far as its blocks can be followed."""
    found: list[float] = []
    whole = False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            for value in {"GIF": _gif, "PNG": _apng, "WEBP": _webp}[kind](data):
                found.append(value)
                if len(found) >= MOST:
                    break
            whole = True
        except (IndexError, struct.error):
            pass
    return Timing(found, whole)


def _gif(data: mmap.mmap) -> Iterator[float]:
    """GIF89a: an image block takes the delay of the graphic control block before it."""
    at, delay = 13 + _table(data[10]), 0.0
    while True:
        kind = data[at]
        if kind == 0x21 and data[at + 1] == 0xF9:
            delay = struct.unpack_from("<H", data, at + 4)[0] * 10.0
        if kind == 0x21:
            at = _after(data, at + 2)
        elif kind == 0x2C:
            yield delay  # also of a picture that is cut off: the file announced it
            at = _after(data, at + 11 + _table(data[at + 9]))
        elif kind == 0x3B:
            return
        else:
            raise IndexError("not a block of a GIF")


def _table(flags: int) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _after(data: mmap.mmap, at: int) -> int:
    """The place behind a chain of sub-blocks."""
    while length := data[at]:
        at += length + 1
    return at + 1


def _apng(data: mmap.mmap) -> Iterator[float]:
    at = 8
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IEND":
            return
        if name == b"fcTL":
            share, of = struct.unpack_from(">HH", data, at + 28)
            yield 1000.0 * share / (of or 100)
        at += length + 12


def _webp(data: mmap.mmap) -> Iterator[float]:
    at, end = 12, 8 + struct.unpack_from("<I", data, 4)[0]
    while at < end:
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"ANMF":
            yield float(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + length + length % 2
    if end > len(data):
        raise IndexError("cut off")
