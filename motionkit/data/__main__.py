"""`python -m motionkit.data NAME ROOT JOBS [key=value ...]`: a data set as a folder of jobs for `motionkit compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from motionkit.data import SETS, ReadOptions, open_set, write_jobs
from motionkit.errors import UserError, unknown

_NUMBERS = ("seed", "frames")
_KEYS = ("task", "split", "ids", "pairs", *_NUMBERS)


def main(arguments: Sequence[str]) -> int:
    """Write the jobs; with fewer than three words, say which data sets are known. Returns the exit code."""
    if len(arguments) < 3 or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if not arguments or arguments[0] in ("-h", "--help") else 2
    name, root, jobs, *rest = arguments
    try:
        items = open_set(name, root, ReadOptions(**_options(rest)), print)
        folder = write_jobs(items, jobs, print)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{folder}: {len(items)} jobs; compare on them with: motionkit compare methods=[...] jobs={folder}")
    return 0


def _options(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if key not in _KEYS:
            raise unknown("key", key, _KEYS)
        if not sign or not value:
            raise UserError(f"{word}: give {key}=VALUE")
        if key in found:
            raise UserError(f"{word}: {key} is given twice")
        if key in _NUMBERS and not value.isdecimal():
            raise UserError(f"{word}: give a whole number")
        found[key] = int(value) if key in _NUMBERS else value
    return found


def _help() -> str:
    lines = [
        "usage: python -m motionkit.data NAME ROOT JOBS [task=self|cross|edit] [split=test] [ids=FILE.txt]",
        "           [pairs=FILE.csv] [frames=N] [seed=0]",
        "  ids=FILE.txt one name per line; for videoswap an edit or a clip;  frames=N  instants of each clip",
        "  pairs=FILE.csv  columns source and driving, for task=cross; without it clips are paired at random (seed=0)",
        f"  split=test      for {' and '.join(known.name for known in SETS.values() if known.has_splits)}",
        "",
    ]
    for known in SETS.values():
        lines += [
            f"{known.name:10} {known.title}: {known.source}",
            f"{'':10} licence: {known.licence}",
            f"{'':10} {known.layout}",
            f"{'':10} tasks: {', '.join(known.tasks)}",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
