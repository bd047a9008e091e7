"""A row of a list of jobs: the keys that it may have, and how its texts become values."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motionkit.errors import UserError
from motionkit.transfer import MAPS

FILES = ("reference", "driving", "truth", *MAPS)
TEXTS = ("prompt", "source_prompt", "negative_prompt")
NUMBERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "seed": (int, "a whole number"),
    "frames": (int, "a whole number"),
    "fps": (float, "a number"),
    "size": (str, ""),
    "start": (str, ""),
    "end": (str, ""),
    "reference_start": (str, ""),
    "reference_end": (str, ""),
}
NAME = "name"
COLUMNS = (NAME, *FILES, *TEXTS, *NUMBERS)
LONGEST_TEXT, LONGEST_NAME = 10_000, 100
_NEVER = set('/\\:*?"<>|')  # in the name of a folder, on one system or another


@dataclass(frozen=True)
class Job:
    """One comparison of the list.

    Attributes:
        name: it is also its folder's.
        values: what differs from the shared request.
        wrong: why it cannot run, in one line; "" when it can.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    wrong: str = ""


def read_text(path: Path, most: int | None = None) -> str:
    """A file's text. Raises: UserError where it cannot be read, is not UTF-8, or has more than `most` characters."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if most is not None and len(text) > most:
        raise UserError(f"{path} has {len(text)} characters, too many for a prompt: at most {most}")
    return text


def named_once(path: Path, jobs: list[Job]) -> list[Job]:
    """The jobs. Raises: UserError where two of them have one name."""
    names = [job.name for job in jobs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path} has two jobs named {twice!r}: give each its own name")
    return jobs


def read_table(path: Path, check: Callable[[list[str]], None]) -> list[tuple[int, dict[str, str]]]:
    """A CSV file that was written by hand: for each row its line, and column -> text, without the empty cells.

    Args:
        check: raises what is wrong with the columns; it gets their names before a row is read.

    Raises:
        UserError: not CSV, a column twice, or a row that has not one cell for each column.
    """
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    found: list[tuple[int, dict[str, str]]] = []
    try:
        columns = [column.strip() for column in next(rows, [])]
        check(columns)
        if twice := next((column for column in columns if column and columns.count(column) > 1), None):
            raise UserError(f"{path} has the column {twice} twice")
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise UserError(
                    f"{path} line {rows.line_num} has {len(cells)} cells for {len(columns)} columns: a text with a "
                    "comma needs quotation marks around it"
                )
            given = {column: cell.strip() for column, cell in zip(columns, cells, strict=True) if cell.strip()}
            found.append((rows.line_num, given))
    except csv.Error as error:
        raise UserError(f"{path} line {rows.line_num}: {error}") from error
    return found


def row_job(path: Path, line: int, given: dict[str, str], number: int) -> Job:
    """The job of a row: key -> text. Raises: UserError for a name or a value that cannot be."""
    name = given.pop(NAME, f"{number:03d}")
    if not is_file_name(name):
        raise UserError(f"{path} line {line}: the name {name!r} cannot be a folder's; use letters, digits, - and _")
    return Job(name, {key: _value(path, line, key, text) for key, text in given.items()})


def is_file_name(name: str) -> bool:
    """Whether a job's name can be its folder's."""
    return name.isprintable() and len(name) <= LONGEST_NAME and name[0] not in "._" and not set(name) & _NEVER


def _value(path: Path, line: int, key: str, text: str) -> Any:
    if key in FILES:
        if "://" in text:
            raise UserError(f"{path} line {line}: {key}={text}: only local files are read; download it first")
        return str(path.parent.absolute() / Path(text).expanduser())
    if key in TEXTS:
        return text
    convert, what = NUMBERS[key]
    try:
        return convert(text)
    except ValueError:
        raise UserError(f"{path} line {line}: {key}={text}: give {what}") from None
