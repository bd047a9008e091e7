"""The table: plan its cells, read finished ones back, run the others, and gather what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError
from motionkit.media.output_files import check_writable
from motionkit.running.preflight import before
from motionkit.table.bench import tasks
from motionkit.table.bench.cell import is_made
from motionkit.table.bench.entry import FAILED, Cell, Entry, Options, cells_of, metrics_of, settled, side_of
from motionkit.table.bench.protocol import Protocol, title
from motionkit.table.bench.runners import Runner, Serial

if TYPE_CHECKING:
    from motionkit.metrics.protocols import MetricProtocol


@dataclass(frozen=True)
class Done:
    """What came of one cell.

    Attributes:
        record: seconds, cpu_seconds, rss_mb, inputs_used and more (`motionkit.table.bench.cell`); {} when it failed.
        figures: by the names of the metric protocol's facts.
        reason: why it failed, in one line; "" when it did not.
    """

    cell: Cell
    record: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """An entry with its cells; `refused` says in one line why it has none."""

    entry: Entry
    cells: Sequence[Done] = ()
    refused: str = ""

    def values(self, figure: str) -> dict[tuple[int, int], float]:
        """(case, seed) -> value of a figure, where there is one."""
        found = {(done.cell.index, done.cell.seed): done.figures.get(figure) for done in self.cells}
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class Outcome:
    """A whole table."""

    protocol: Protocol
    rows: Sequence[Row]
    metrics: MetricProtocol

    @property
    def failed(self) -> list[Done]:
        """The cells that failed; the next start tries them again."""
        return [done for row in self.rows for done in row.cells if done.reason]


def run(
    protocol: Protocol,
    entries: Sequence[Entry],
    folder: str | Path,
    options: Options | None = None,
    runner: Runner | None = None,
    say: Callable[[str], None] = lambda line: None,
    *,
    may_be_empty: bool = True,
) -> Outcome:
    """Every entry on every case with every seed; a second call reads finished cells back and goes on.

    Args:
        say: gets a line for each refused entry and each cell that ends.
        may_be_empty: whether a table in which every entry is refused is still a table.

    Raises:
        UserError: nothing can run at all: a label twice, a folder that cannot be written, or every entry is refused.
        Cancelled: stopped by the user; finished cells are kept.
    """
    folder, labels = Path(folder).absolute(), [entry.label for entry in entries]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UserError(f"two rows are called {twice[0]!r}: give each a label of its own")
    check_writable(folder)
    options = options or Options()
    metrics = metrics_of(protocol.check(), options)
    planned = [_plan(entry, protocol, folder, options) for entry in entries]
    refusals = {entry.label: refused for entry, (_, refused) in zip(entries, planned, strict=True) if refused}
    if len(refusals) == len(entries) and not may_be_empty:
        raise UserError(f"no row can run: {_together(refusals)}")
    say(f"protocol {title(protocol)}")
    for label, refused in refusals.items():
        say(f"{label}: refused: {refused}")
    for line in _preflight(entries, refusals, protocol, options):
        say(line)
    todo = _in_turn([c for cells, _ in planned for c in cells if not is_made(c) or c.figures(metrics.key) is None])
    say(f"{sum(len(cells) for cells, _ in planned)} cells, {len(todo)} to run")
    for cell in todo:
        (cell.folder / FAILED).unlink(missing_ok=True)  # of an earlier start: tried again now
    for number, cell in enumerate((runner or Serial()).run(todo), 1):
        say(f"[{number}/{len(todo)}] {cell.name}: {_how(_done(cell, metrics.key))}")
    rows = [
        Row(entry, [_done(cell, metrics.key) for cell in cells], refused)
        for entry, (cells, refused) in zip(entries, planned, strict=True)
    ]
    return Outcome(protocol, rows, metrics)


def _preflight(
    entries: Sequence[Entry], refusals: Mapping[str, str], protocol: Protocol, options: Options
) -> list[str]:
    """What each row needs of this machine's card; nothing on a CPU."""
    chosen = [
        (e.label, settled(e, tasks.get(protocol.task), options.online)) for e in entries if e.label not in refusals
    ]
    rows = [(label, one, side_of(protocol, one.backbone.name)) for label, one in chosen]
    return before([(label, one, protocol.frames, side, side) for label, one, side in rows], options.gpu)


def _plan(entry: Entry, protocol: Protocol, folder: Path, options: Options) -> tuple[list[Cell], str]:
    try:
        return cells_of(entry, protocol, folder, options), ""
    except UserError as error:
        return [], " ".join(str(error).split())


def _together(refusals: Mapping[str, str]) -> str:
    """Every reason once, with the labels of its rows."""
    reasons = dict.fromkeys(refusals.values())
    rows = {reason: [label for label, own in refusals.items() if own == reason] for reason in reasons}
    return "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in rows.items())


def _in_turn(cells: Sequence[Cell]) -> list[Cell]:
    """Case by case, so that a start that is stopped early has every row on the same cases; equal cells once."""
    return sorted({cell.key: cell for cell in cells}.values(), key=lambda cell: (cell.index, cell.seed))


def _done(cell: Cell, metrics_key: str) -> Done:
    figures = cell.figures(metrics_key)
    if is_made(cell) and figures is not None:
        return Done(cell, cell.record(), figures)
    return Done(cell, reason=cell.failure() or "it was not run")


def _how(done: Done) -> str:
    return f"failed: {done.reason}" if done.reason else f"{done.record['seconds']:.1f} s"
