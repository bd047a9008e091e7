"""A table in numbers: metrics averaged over seeds and cases, with intervals, ranks where these separate, and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.metrics import bootstrap_interval
from motionkit.metrics.sets import SetFigure
from motionkit.settings.fact import Fact
from motionkit.table.bench import tasks
from motionkit.table.bench.cell import video_of
from motionkit.table.bench.engine import Outcome, Row
from motionkit.table.bench.protocol import Reducers, title

LEAST = 5  # with fewer cases intervals separate too easily for ranks
COSTS = {"seconds": "Time, s", "cpu_seconds": "Processor, s", "rss_mb": "Memory, MB", "cuda_mb": "GPU memory, MB"}


@dataclass(frozen=True)
class Figure:
    """One metric of a row: mean over cases with its interval; `rank` is None where intervals do not separate.

    Attributes:
        n: number of cases.  skipped: why there is no value.  note: what a reader should know about it.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    rank: int | None = None
    skipped: str = ""
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A row in numbers.

    Attributes:
        figures: by name of the metric protocol's facts.  costs: by the names of `COSTS`; memory is the largest.
        settings: other than the method's own, as they are typed.  computed: how, of every cell: device, type, threads.
        apart: it is not ranked: a yardstick, a row that sees the truth, or one on fewer cases than others.
        inputs_used, weights: as the runs report.  failed: cells without values.  cached: times leave out cached stages.
    """

    label: str
    method: str
    backbone: str
    weights: str
    refused: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    costs: Mapping[str, Figure] = field(default_factory=dict)
    inputs_used: Sequence[str] = ()
    failed: Sequence[str] = ()
    cached: bool = False
    cells: int = 0
    size: str = ""
    settings: str = ""
    computed: Sequence[str] = ()
    apart: bool = False


@dataclass(frozen=True)
class Summary:
    """A whole table in numbers; `facts` are the columns that have a value somewhere."""

    outcome: Outcome
    lines: Sequence[Line]
    facts: Mapping[str, Fact]

    @property
    def title(self) -> str:
        """The protocol in a line."""
        return title(self.outcome.protocol)


def summarise(outcome: Outcome, sets: Mapping[str, Mapping[str, Any]] | None = None) -> Summary:
    """The table of an outcome.

    Args:
        sets: label -> name -> `motionkit.metrics.sets.SetFigure`, the figures taken over a row's videos at once.
    """
    lines = [_line(row, outcome, (sets or {}).get(row.entry.label, {})) for row in outcome.rows]
    there = {name for line in lines for name, figure in line.figures.items() if figure.mean is not None}
    used = {name: fact for name, fact in outcome.metrics.facts.items() if name in there}
    return Summary(outcome, ranked(lines, used), used)


def set_figures(outcome: Outcome, row: Row) -> dict[str, dict[str, Any]]:
    """The metrics of all videos of a row at once (such as FVD), each a mapping of `SetFigure`'s fields.

    Each seed is a set of its own: the value is the mean over seeds, and the interval has the mean of their ends, so it
    is as wide as that of one seed.
    """
    protocol = outcome.protocol
    cases = {
        index: tasks.make_case(protocol.task, index, protocol.pair_seed, protocol.frames, protocol.size)
        for index in range(protocol.pairs)
    }
    made = []
    for seed in protocol.seeds:
        done = [one.cell for one in row.cells if one.record and one.cell.seed == seed]
        if done:
            truths, prompts = zip(*((cases[c.index].truth, cases[c.index].inputs.prompt) for c in done), strict=True)
            made.append(outcome.metrics.sets([video_of(cell) for cell in done], truths, prompts))
    return {name: _mean_set([figures[name] for figures in made]) for name in (made[0] if made else ())}


def _mean_set(seeds: Sequence[SetFigure]) -> dict[str, Any]:
    """One figure of a set for several seeds, as their mean; of one seed, that figure."""
    first = asdict(seeds[0])
    if len(seeds) == 1 or any(figure.value is None for figure in seeds):
        return first
    means = {end: float(np.mean([getattr(figure, end) for figure in seeds])) for end in ("value", "low", "high")}
    return (
        first
        | means
        | {"note": f"mean of {len(seeds)} seeds, with the interval of one seed; note on the first: {seeds[0].note}"}
    )


def _line(row: Row, outcome: Outcome, sets: Mapping[str, Any]) -> Line:
    entry, records = row.entry, [done.record for done in row.cells if done.record]
    first = records[0] if records else {}
    line = Line(
        entry.label,
        entry.method,
        (first.get("backbone") or {}).get("name") or entry.backbone or "",
        _weights(row),
        row.refused,
        failed=[f"{done.cell.name}: {done.reason}" for done in row.cells if done.reason],
        cells=len(row.cells),
        settings=entry.typed,
        apart=entry.yardstick or bool(entry.sees) or (entry.pairs or outcome.protocol.pairs) < outcome.protocol.pairs,
    )
    if not records:
        return line
    how = outcome.protocol.reducers
    figures = {
        name: Figure(*_interval(values, how), n=len({case for case, _ in values}))
        for name in outcome.metrics.facts
        if (values := row.values(name))
    }
    for name, made in sets.items():
        figures[name] = Figure(made.value, made.low, made.high, made.n, None, made.skipped, made.note)
    size = first["size"]
    return replace(
        line,
        figures=figures,
        costs=_costs(row, how),
        inputs_used=first["inputs_used"],
        cached=any(record["from_cache"] for record in records),
        size=f"{size['width']} × {size['height']}",
        computed=sorted({_computed(record) for record in records}),
    )


def _computed(record: Mapping[str, Any]) -> str:
    """How a cell was computed, as far as its time depends on it."""
    plan, threads = record["plan"], record.get("threads")
    kind = f"{plan['dtype']}, autocast {plan['autocast']}" if plan.get("autocast") else plan["dtype"]
    extra = [f"offload {plan['offload']}"] if plan.get("offload", "none") != "none" else []
    extra += [name for name in ("vae_tiling", "checkpointing", "compile") if plan.get(name)]
    count = [f"{threads} thread{'s' if threads > 1 else ''}"] if threads else []
    return ", ".join([plan["device"], kind, plan["attention"], *extra, *count])


def _interval(values: Mapping[tuple[int, int], float], how: Reducers) -> tuple[float, float | None, float | None]:
    """(case, seed) -> value: mean over the seeds of each case, then mean over cases with its interval; one has none."""
    by_case: dict[int, list[float]] = {}
    for (case, _), value in values.items():
        by_case.setdefault(case, []).append(value)
    means = [sum(found) / len(found) for found in by_case.values()]
    if len(means) == 1:
        return means[0], None, None
    return bootstrap_interval(means, how.confidence, how.resamples, how.bootstrap_seed)


def _costs(row: Row, how: Reducers) -> dict[str, Figure]:
    """Seconds as means with intervals, memory as the largest of all cells."""
    costs = {}
    for name in COSTS:
        found = {(d.cell.index, d.cell.seed): d.record[name] for d in row.cells if d.record.get(name) is not None}
        if not found:
            continue
        if name.endswith("_mb"):
            costs[name] = Figure(max(found.values()), n=len(found))
        else:
            costs[name] = Figure(*_interval(found, how), n=len({case for case, _ in found}))
    return costs


def _weights(row: Row) -> str:
    """The origin of a row's weights, in a few words."""
    backbone = next((done.record["backbone"] for done in row.cells if done.record.get("backbone")), None)
    if backbone is None:
        return ""
    name, own = backbone["name"], row.entry.backbone_path
    kind = "pocket (small, sprites only)" if name.startswith("pocket-") else "published"
    kind = "random, for tests" if name.startswith("tiny-") else f"own: {Path(own).name}" if own else kind
    loras = [Path(one.path).name for one in row.entry.lora.each] if row.entry.lora else []
    lora = f" with LoRA {', '.join(loras)}" if loras else ""
    return f"{name}: {kind}{lora}, {backbone['fingerprint'][:8]}"


def ranked(lines: Sequence[Line], facts: Mapping[str, Fact]) -> list[Line]:
    """The lines with ranks: 1 plus the number of rows whose whole interval is better.

    A column in which all intervals overlap has no ranks; nor have rows that are apart, have failed cells or fewer than
    LEAST cases.
    """
    whole = [line for line in lines if line.figures and not line.failed and not line.apart]
    ranks: dict[tuple[str, str], int] = {}
    for name, fact in facts.items():
        spans = {
            line.label: span
            for line in whole
            if name in line.figures and (span := _badness(line.figures[name], fact)) is not None
        }
        found = {label: 1 + sum(other[1] < span[0] for other in spans.values()) for label, span in spans.items()}
        if len(set(found.values())) > 1:
            ranks |= {(label, name): rank for label, rank in found.items()}
    return [
        replace(
            line, figures={name: replace(f, rank=ranks.get((line.label, name))) for name, f in line.figures.items()}
        )
        for line in lines
    ]


def _badness(figure: Figure, fact: Fact) -> tuple[float, float] | None:
    """The interval with its sign chosen so that less is better; None for a metric that cannot be ranked."""
    if figure.low is None or figure.high is None or figure.n < LEAST or fact.better == "none":
        return None
    low, high = figure.low, figure.high
    if fact.better == "higher":
        return -high, -low
    if fact.better == "lower":
        return low, high
    off = sorted((abs(low - 1), abs(high - 1)))
    return (0.0 if low <= 1 <= high else off[0]), off[1]
