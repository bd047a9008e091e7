"""The files of the stage cache, and which of them are removed when it is too large or they are too old."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from motionkit.errors import UserError

LIMIT = "MOTIONKIT_CACHE_LIMIT"  # of the environment: a size such as 50gb, or 0 for a cache that may grow
DEFAULT_LIMIT = "20gb"
SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class Kept:
    """One file of the cache: a stage, or the checkpoint of one that was not finished.

    Attributes:
        used: when it was last read or written, in seconds since 1970.
    """

    path: Path
    size: int
    used: float

    @property
    def method(self) -> str:
        """The method that it belongs to."""
        return self.path.parent.name

    @property
    def stage(self) -> str:
        """The step that made it."""
        return self.path.name.lstrip(".").partition("-")[0]


def kept(root: Path) -> list[Kept]:
    """Every file of the stage cache, the least recently used first; none where there is no cache."""
    found = []
    for path in root.glob("*/*"):
        try:
            facts = path.lstat()
        except OSError:  # another process removed it
            continue
        if path.is_file():
            found.append(Kept(path, facts.st_size, facts.st_mtime))
    return sorted(found, key=lambda file: (file.used, file.path))


def limit() -> int:
    """Bytes that the cache may hold; 0 for any number.

    Raises:
        UserError: MOTIONKIT_CACHE_LIMIT is not a size.
    """
    return size_of(os.environ.get(LIMIT) or DEFAULT_LIMIT, LIMIT)


def trim(root: Path, keep: Path) -> list[Kept]:
    """Remove the least recently used files, but for `keep`, until the cache is in its limit; returns those removed."""
    most = limit()
    return prune(root, size=most, spare=(keep,)) if most else []


def prune(root: Path, size: int | None = None, age: float | None = None, spare: Iterable[Path] = ()) -> list[Kept]:
    """Remove files of the stage cache; returns those removed.

    Args:
        size: bytes that may stay; the least recently used are removed first.
        age: seconds; files that were not used for longer are removed.
        spare: files that stay whatever their age.
    """
    files, spared, gone = kept(root), set(spare), []
    held, oldest = sum(file.size for file in files), time.time() - age if age is not None else None
    for file in files:
        large, old = size is not None and held > size, oldest is not None and file.used < oldest
        if (large or old) and file.path not in spared:
            try:
                file.path.unlink()
            except OSError:  # read-only, or another process was faster
                continue
            held -= file.size
            gone.append(file)
    return gone


def size_of(text: str, what: str) -> int:
    """A number of bytes: 500mb, 1.5gb, 0. Raises: UserError."""
    return int(_number(text, what, SIZES, "a size such as 500mb or 20gb"))


def age_of(text: str, what: str) -> float:
    """A number of seconds: 12h, 30d, 8w. Raises: UserError."""
    return _number(text, what, AGES, "an age such as 12h, 30d or 8w")


def _number(text: str, what: str, units: dict[str, int], example: str) -> float:
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", text.strip().lower())
    if not found or found[2] not in units:
        raise UserError(f"{what}={text}: give {example}")
    return float(found[1]) * units[found[2]]


def in_words(size: float) -> str:
    """A number of bytes for people: 1.5 GB.

    >>> in_words(1_500_000_000), in_words(20)
    ('1.5 GB', '20 B')
    """
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= SIZES[unit.lower()]:
            return f"{size / SIZES[unit.lower()]:.1f} {unit}"
    return f"{size:.0f} B"
