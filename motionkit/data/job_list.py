"""Lists of jobs for one comparison after another: a folder with a sub-folder for each job, or a CSV file.

A folder: each sub-folder is a job, its files are named as the keys: `reference.png`, `driving.mp4` (or a sub-folder
`driving/` of numbered pictures), `truth.mp4`, `prompt.txt`, `masks/`, `depth.npy`. Names that begin with a dot or an
underscore are left alone. A CSV file: a row is a job, columns are named as the keys, plus `name`; an empty cell is not
given, and paths start from the CSV file's folder. A folder with a metadata.jsonl or metadata.csv: metadata.py.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motionkit.errors import UserError, unknown
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


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a folder, of a CSV file or of a folder's metadata file, in the order of their names or rows.

    Raises:
        UserError: nothing there, another layout, an unknown key, or two jobs of one name.
    """
    from motionkit.data.metadata import NAMES, metadata_of, read_metadata

    if path.name in NAMES:
        return read_metadata(path)
    if os.path.isdir(path):
        if described := metadata_of(path):
            return read_metadata(described)
        jobs = [_from_folder(sub) for sub in sorted(path.iterdir()) if sub.is_dir() and not _is_private(sub)]
        if not jobs:
            raise UserError(
                f"jobs={path}: it has no sub-folders; give one for each job, with reference.*, driving.*, prompt.txt, "
                "or a metadata.jsonl"
            )
        return jobs
    if path.suffix.lower() != ".csv":
        what = "is neither a folder nor a .csv file" if path.exists() else "is not there"
        raise UserError(f"jobs={path} {what}: give a folder of job folders, or a CSV file")
    return _from_csv(path)


def _is_private(path: Path) -> bool:
    return path.name.startswith((".", "_"))


def _from_folder(folder: Path) -> Job:
    if not _is_file_name(folder.name):  # it may not be valid text, which only repr can show
        wrong = "not a valid name for a job: rename the folder with letters, digits, - and _"
        return Job(repr(folder.name)[1:-1], wrong=wrong)
    values: dict[str, Any] = {}
    for item in sorted(folder.iterdir()):
        if _is_private(item):
            continue
        key = item.name.partition(".")[0]
        if key not in (*FILES, *TEXTS):
            raise UserError(f"{item}: {unknown('name in a job folder', key, (*FILES, *TEXTS))}")
        if key in values:
            raise UserError(f"{folder} has {key} twice: leave one of them")
        values[key] = _text(item) if key in TEXTS else str(item.absolute())
    if not values:
        raise UserError(f"{folder} is an empty job: put reference.*, driving.* or prompt.txt there, or remove it")
    return Job(folder.name, values)


def _text(path: Path) -> str:
    """A prompt's file: its words on one line."""
    if path.is_dir() or path.suffix.lower() != ".txt":
        raise UserError(f"{path}: a job's text must be a .txt file")
    return " ".join(read_text(path, LONGEST_TEXT).split())


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


def _from_csv(path: Path) -> list[Job]:
    rows = read_table(path, lambda columns: _check_columns(path, columns))
    jobs = [row_job(path, line, given, number) for number, (line, given) in enumerate(rows, 1)]
    if not jobs:
        raise UserError(f"{path} has no jobs: add a row for each job below the column names")
    return named_once(path, jobs)


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


def _check_columns(path: Path, columns: list[str]) -> None:
    if not any(columns):
        raise UserError(f"{path} is empty: its first row names the columns, such as reference,driving,prompt")
    if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), "")):
        raise UserError(f"{path} has {other!r} between its columns: save it with commas")
    for column in columns:
        if column not in COLUMNS:
            raise UserError(f"{path}: {unknown('column', column, COLUMNS)}")


def row_job(path: Path, line: int, given: dict[str, str], number: int) -> Job:
    """The job of a row: key -> text. Raises: UserError for a name or a value that cannot be."""
    name = given.pop(NAME, f"{number:03d}")
    if not _is_file_name(name):
        raise UserError(f"{path} line {line}: the name {name!r} cannot be a folder's; use letters, digits, - and _")
    return Job(name, {key: _value(path, line, key, text) for key, text in given.items()})


def _is_file_name(name: str) -> bool:
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
