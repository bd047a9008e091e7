"""Folders of one benchmark from several machines put together: `motionkit bench merge A B output=DIR`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionkit.errors import UserError
from motionkit.media.output_files import check_writable, temporary_beside, writing
from motionkit.table.bench import listing
from motionkit.table.bench.cell import measure
from motionkit.table.bench.engine import Outcome, Row, done_of
from motionkit.table.bench.planned import FAILED, RECORD, metrics_of
from motionkit.table.store import CELLS, FRAMES, LOCK, CellFolder, read_json

_TIMES = ("seconds", "cpu_seconds", "rss_mb", "cuda_mb", "threads", "from_cache")  # differ from start to start


@dataclass(frozen=True)
class Merged:
    """The result of a merge: the tables, and a line for each cell whose content differs between two folders."""

    outcomes: Sequence[Outcome]
    conflicts: Sequence[str]

    @property
    def failed(self) -> bool:
        """Whether a cell is missing, failed, or differs between folders."""
        return bool(self.conflicts) or any(outcome.failed for outcome in self.outcomes)


def merge(folders: Sequence[str | Path], output: str | Path, say: Callable[[str], None] = lambda line: None) -> Merged:
    """Copy the cells of some folders into one, and gather its tables from there; only metrics are computed.

    No weights of methods are needed. A cell that several folders have is taken from the first that has finished it;
    where they differ in more than time and memory, a line says so.

    Args:
        output: may be one of the folders; what it holds counts first.
        say: gets a line for each difference.

    Raises:
        UserError: a folder without a benchmark, folders without a common table, or one that cannot be written.
    """
    target, sources = Path(output).absolute(), [Path(folder).absolute() for folder in folders]
    if not sources:
        raise UserError("nothing to merge: give the folders that `motionkit bench shard=...` wrote")
    for folder in sources:
        if not (folder / CELLS).is_dir() or not listing.names([folder]):
            raise UserError(f"{folder}: no benchmark in this folder: give folders that `motionkit bench` wrote")
    check_writable(target)
    conflicts: list[str] = []
    for folder in sources:
        if folder != target:
            for cell in sorted(path for path in (folder / CELLS).iterdir() if path.is_dir()):
                conflicts += _take(CellFolder(cell), CellFolder(target / CELLS / cell.name))
    for line in conflicts:
        say(line)
    every = list(dict.fromkeys([target, *sources]))
    return Merged([_gather(name, every, target) for name in listing.names(every)], conflicts)


def _take(source: CellFolder, target: CellFolder) -> list[str]:
    """Copy a cell unless the target has it; returns a line for each difference between two that are finished."""
    if _made(target) and _made(source):
        return [
            f"{source.path.name}: {what} differ; kept {target.path}, not {source.path}"
            for what in _differ(source, target)
        ]
    if _made(target) or (target.path.is_dir() and not _made(source)):
        return []
    with writing(target.path):
        target.path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(target.path) as part:
            shutil.copytree(source.path, part, ignore=shutil.ignore_patterns(LOCK))
            shutil.rmtree(target.path, ignore_errors=True)
    return []


def _made(cell: CellFolder) -> bool:
    return (cell.path / RECORD).is_file() and cell.is_finished


def _differ(one: CellFolder, two: CellFolder) -> list[str]:
    """The differences between two finished cells of one key, in words."""
    found = []
    if not _same_bytes(one.path / FRAMES, two.path / FRAMES) and not np.array_equal(one.frames(), two.frames()):
        found.append("frames")
    records = [{k: v for k, v in read_json(c.path / RECORD).items() if k not in (*_TIMES, "label")} for c in (one, two)]
    if records[0] != records[1]:
        found.append("records")
    names = [{path.name for path in c.path.glob("figures-*.json")} for c in (one, two)]
    if any(read_json(one.path / name) != read_json(two.path / name) for name in names[0] & names[1]):
        found.append("figures")
    return found


def _same_bytes(one: Path, two: Path) -> bool:
    return [p.read_bytes() for p in sorted(one.iterdir())] == [p.read_bytes() for p in sorted(two.iterdir())]


def _gather(name: str, folders: Iterable[Path], root: Path) -> Outcome:
    """One table from its listings; figures of other metrics are computed again."""
    paths = [path for folder in folders if (path := folder / listing.TABLES / name).is_file()]
    protocol, entries, options, planned = listing.read(paths, root)
    listing.write(root, protocol, entries, options, planned)
    metrics = metrics_of(protocol, options)
    for cells, _ in planned:
        for cell in cells:
            if cell.is_made:
                measure(cell)
                (cell.folder / FAILED).unlink(missing_ok=True)
    rows = [
        Row(entry, [done_of(cell, metrics.key) for cell in cells], refused)
        for entry, (cells, refused) in zip(entries, planned, strict=True)
    ]
    return Outcome(protocol, rows, metrics)
