"""A folder of pictures or videos with a metadata file, laid out as the Hub's image and video folders, as jobs.

`metadata.jsonl` (an object a line) or `metadata.csv` stands beside the files. `file_name` is a row's file: a video is
the driving clip, a picture the reference; `KEY_file_name` is the file of any key, as with several files a row; `text`
is the prompt. Columns named as the keys (`reference`, `source_prompt`, `seed`, `name`, ...) are taken as in a list of
jobs, others are left alone. Files lie in the folder or below it, as such a folder may come from anybody.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from motionkit.data.job_rows import COLUMNS, FILES, Job, named_once, read_table, read_text, row_job
from motionkit.errors import UserError, nearest

NAMES = ("metadata.jsonl", "metadata.csv")
FILE, TEXT = "file_name", "text"
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_LONGEST = 100_000  # characters of a line


def metadata_of(folder: Path) -> Path | None:
    """The folder's metadata file, if it has one. Raises: UserError for both kinds at once."""
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise UserError(f"jobs={folder} has both {' and '.join(NAMES)}: leave one of them")
    return found[0] if found else None


def read_metadata(path: Path) -> list[Job]:
    """The jobs of a metadata file, in the order of its rows.

    Raises:
        UserError: no rows, a line that is no object, a value that fits no key, a file outside the folder, a column that
            is nearly one of ours, or a row without any file.
    """
    rows = _objects(path) if path.suffix == ".jsonl" else read_table(path, lambda columns: None)
    jobs = [row_job(path, line, _renamed(path, line, row), number) for number, (line, row) in enumerate(rows, 1)]
    if not jobs:
        raise UserError(f"{path} has no rows: give an object such as {{'file_name': 'a.mp4', 'text': 'a cat'}} a line")
    return named_once(path, jobs)


def _objects(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            if len(line) > _LONGEST:
                raise ValueError
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{path} line {number} is no JSON object: give {{...}} with file_name on each line")
        yield number, row


def _renamed(path: Path, line: int, row: Mapping[str, Any]) -> dict[str, str]:
    """A row by our keys, its values as text."""
    given: dict[str, str] = {}
    for column, value in row.items():
        key = _key(path, column, value)
        if key is None or value is None or value == "":
            continue
        if isinstance(value, bool | list | dict) or (isinstance(value, float) and not math.isfinite(value)):
            raise UserError(f"{path} line {line}: {column} must be a text or a number")
        if key in given:
            raise UserError(f"{path} line {line} gives {key} twice: leave one of the columns")
        given[key] = " ".join(str(value).split()) if key not in FILES else _inside(path, line, column, str(value))
    if not any(key in FILES for key in given):
        raise UserError(f"{path} line {line} names no file: give file_name, or {', '.join(FILES[:3])}")
    return given


def _key(path: Path, column: str, value: Any) -> str | None:
    """The key that a column stands for, or None for one that is not ours."""
    if column == FILE:
        return "reference" if PurePosixPath(str(value)).suffix.lower() in PICTURES else "driving"
    if column == TEXT:
        return "prompt"
    if column.removesuffix(f"_{FILE}") in FILES:
        return column.removesuffix(f"_{FILE}")
    if column in COLUMNS:
        return column
    if near := nearest(column, [name for name in COLUMNS if len(name) > 4 and abs(len(name) - len(column)) < 3]):
        raise UserError(f"{path} has a column {column!r}{near}: correct it, or rename it if it is something else")
    return None


def _inside(path: Path, line: int, column: str, name: str) -> str:
    here = path.parent.resolve()
    if "://" in name:
        raise UserError(f"{path} line {line}: {column}={name}: only local files are read; download it first")
    if not (here / name).resolve().is_relative_to(here):
        raise UserError(f"{path} line {line}: {column}={name} is outside {path.parent}: move the file into that folder")
    return str(path.parent.absolute() / name)  # absolute, so that a leading ~ is no home folder
