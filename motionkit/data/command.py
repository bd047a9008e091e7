"""What `motionkit data` does: which data sets are known, and one of them as a folder of jobs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from motionkit.data.items import ReadOptions
from motionkit.data.jobs import write_jobs
from motionkit.data.sets import SETS, open_set
from motionkit.errors import UserError, unknown

_NUMBERS = ("seed", "frames")
KEYS = ("task", "split", "ids", "pairs", *_NUMBERS)


def make(words: Sequence[str], say: Callable[[str], None]) -> str:
    """Write the jobs of `NAME ROOT JOBS [key=value ...]`; returns the line about what was made.

    Raises:
        UserError: too few words, an unknown set, key or value, a folder of another layout, or a place that cannot be
            written.
    """
    if len(words) < 3:
        raise UserError(f"data takes NAME ROOT JOBS (got {' '.join(words)}); motionkit data alone lists the sets")
    name, root, jobs, *rest = words
    items = open_set(name, root, ReadOptions(**_options(rest)), say)
    folder = write_jobs(items, jobs, say).absolute()  # the command below may be given in another folder
    command = f"motionkit compare methods=[...] {shlex.quote(f'jobs={folder}')}"
    return f"{folder}: {len(items)} jobs; compare on them with: {command}"


def _options(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if key not in KEYS:
            raise unknown("key", key, KEYS)
        if not sign or not value:
            raise UserError(f"{word}: give {key}=VALUE")
        if key in found:
            raise UserError(f"{word}: {key} is given twice")
        if key in _NUMBERS and not (value.isascii() and value.isdecimal()):
            raise UserError(f"{word}: give a whole number")
        found[key] = int(value) if key in _NUMBERS else value
    return found


def listing() -> str:
    """The known sets: where each comes from, its licence, its layout, and what it can be read as."""
    lines: list[str] = []
    for known in SETS.values():
        splits = "; split=train or test" if known.has_splits else ""
        lines += [
            f"{known.name:10} {known.title}: {known.source}",
            f"{'':10} licence: {known.licence}",
            f"{'':10} {known.layout}",
            f"{'':10} tasks: {', '.join(known.tasks)}{splits}",
        ]
    return "\n".join(lines)
