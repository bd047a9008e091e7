"""Lists of jobs for one comparison after another: a folder with a sub-folder for each job, or a CSV file.

A folder: each sub-folder is a job, its files are named as the keys: `reference.png`, `driving.mp4` (or a sub-folder
`driving/` of numbered pictures), `truth.mp4`, `prompt.txt`, `masks/`, `depth.npy`. Names that begin with a dot or an
underscore are left alone. A CSV file: a row is a job, columns are named as the keys, plus `name`; an empty cell is not
given, and paths start from the CSV file's folder. A folder with a metadata.jsonl or metadata.csv: metadata.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from motionkit.data.job_rows import (
    COLUMNS,
    FILES,
    LONGEST_TEXT,
    TEXTS,
    Job,
    is_file_name,
    named_once,
    read_table,
    read_text,
    row_job,
)
from motionkit.data.metadata import NAMES, metadata_of, read_metadata
from motionkit.errors import UserError, unknown


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a folder, of a CSV file or of a folder's metadata file, in the order of their names or rows.

    Raises:
        UserError: nothing there, another layout, an unknown key, or two jobs of one name.
    """
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
    if not is_file_name(folder.name):  # it may not be valid text, which only repr can show
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


def _from_csv(path: Path) -> list[Job]:
    rows = read_table(path, lambda columns: _check_columns(path, columns))
    jobs = [row_job(path, line, given, number) for number, (line, given) in enumerate(rows, 1)]
    if not jobs:
        raise UserError(f"{path} has no jobs: add a row for each job below the column names")
    return named_once(path, jobs)


def _check_columns(path: Path, columns: list[str]) -> None:
    if not any(columns):
        raise UserError(f"{path} is empty: its first row names the columns, such as reference,driving,prompt")
    if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), "")):
        raise UserError(f"{path} has {other!r} between its columns: save it with commas")
    for column in columns:
        if column not in COLUMNS:
            raise UserError(f"{path}: {unknown('column', column, COLUMNS)}")
