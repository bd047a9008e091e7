"""The table: plan its cells, read finished ones back, run the others, and gather what came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError
from motionkit.media.output_files import check_writable
from motionkit.running.preflight import before
from motionkit.table.bench import listing, tasks
from motionkit.table.bench.entry import Entry, Options, settled, side_of
from motionkit.table.bench.planned import Cell, Turn, cells_of, metrics_of
from motionkit.table.bench.protocol import Protocol, title
from motionkit.table.bench.runners import Runner, Serial
from motionkit.table.bench.shards import Shard

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
    shard: Shard = Shard(),  # noqa: B008
) -> Outcome:
    """Every entry on every case with every seed; a second call reads finished cells back and goes on.

    Several calls at a time on one folder share the work: each takes the next cell that no other is at work on.

    Args:
        shard: which part of the cells; those of other parts are not in the outcome.
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
    listing.write(folder, protocol, entries, options, planned)
    own = shard.keys([cells for cells, _ in planned])
    mine = [[cell for cell in cells if cell.key in own] for cells, _ in planned]
    todo = _in_turn([cell for cells in mine for cell in cells if not cell.is_done(metrics.key)])
    part = "" if shard.whole else f"shard {shard}: {sum(map(len, mine))} of "
    say(f"{part}{sum(len(cells) for cells, _ in planned)} cells, {len(todo)} to run")
    _work_off(todo, metrics.key, runner or Serial(), say)
    return Outcome(
        protocol,
        [
            Row(entry, [done_of(cell, metrics.key) for cell in cells], refused)
            for entry, cells, (_, refused) in zip(entries, mine, planned, strict=True)
        ],
        metrics,
    )


def _work_off(todo: Sequence[Cell], metrics_key: str, runner: Runner, say: Callable[[str], None]) -> None:
    """Run the cells, first those that no other start is at work on; then wait for what the others still have."""
    left = [replace(cell, turn=Turn(metrics_key, cell.last_try)) for cell in todo]
    number = 0
    for wait in (False, True):
        busy = []
        for cell in runner.run([replace(one, turn=replace(one.turn, wait=wait)) for one in left if one.turn]):
            if not wait and not cell.has_ended:
                busy.append(cell)
                continue
            number += 1
            say(f"[{number}/{len(todo)}] {cell.name}: {_how(done_of(cell, metrics_key))}")
        left = busy


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


def done_of(cell: Cell, metrics_key: str) -> Done:
    """What is in a cell's folder."""
    figures = cell.figures(metrics_key)
    if cell.is_made and figures is not None:
        return Done(cell, cell.record(), figures)
    return Done(cell, reason=cell.failure() or "it was not run")


def _how(done: Done) -> str:
    return f"failed: {done.reason}" if done.reason else f"{done.record['seconds']:.1f} s"
