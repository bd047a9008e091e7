"""Writes a table: as markdown for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from motionkit.metrics import published
from motionkit.running import manifest
from motionkit.settings.fact import Fact
from motionkit.table.bench import contrasts, tasks
from motionkit.table.bench.protocol import asked_of, deviations
from motionkit.table.bench.summary import COSTS, LEAST, Figure, Line, Summary

BLOCK = 4  # columns of figures side by side in markdown
ON_GPU, ON_CPU = ("seconds", "cuda_mb"), ("cpu_seconds", "rss_mb")  # columns beside the metrics
CONTRASTS = "Row against row, paired by case, with Student's t intervals:"
ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1", "none": ""}


def number(value: float | None) -> str:
    """A figure with three or four digits."""
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if value else "0"


def cell_text(figure: Figure | None, mark: bool = True) -> str:
    """A metric as a table shows it: rank, mean, interval."""
    if figure is None or figure.mean is None:
        return "skipped" if figure is not None and figure.skipped else "–"
    rank = f"{chr(0x245F + figure.rank)} " if mark and figure.rank and figure.rank <= 20 else ""
    interval = f" [{number(figure.low)}, {number(figure.high)}]" if figure.low is not None else ""
    return f"{rank}{number(figure.mean)}{interval}"


def markdown(summary: Summary) -> str:
    """The table as markdown, with all explanations."""
    shown = [line for line in summary.lines if line.figures]
    blocks = [f"# {summary.title}", "", *about(summary), ""]
    names = list(summary.facts)
    for first in range(0, len(names), BLOCK):
        chosen = names[first : first + BLOCK]
        titles, texts = beside(shown)
        head = ["", *(_head(summary.facts[name]) for name in chosen), *titles]
        rows = [
            [line.label, *(cell_text(line.figures.get(name)) for name in chosen), *text]
            for line, text in zip(shown, texts, strict=True)
        ]
        blocks += [*_table(head, rows), ""]
    costs = [name for name in COSTS if any(name in line.costs for line in shown)]
    rows = [
        [
            line.label,
            *(cell_text(line.costs.get(name)) for name in costs),
            ", ".join(line.inputs_used) or "–",
            line.weights or "none",
            line.size,
        ]
        for line in shown
    ]
    head = ["", *(COSTS[name] for name in costs), "Inputs used", "Weights", "Works at"]
    if any(line.settings for line in shown):
        head, rows = [*head, "Settings"], [[*row, line.settings] for row, line in zip(rows, shown, strict=True)]
    blocks += [*_table(head, rows), ""]
    head, rows = contrasts.texts(summary.outcome, number)
    if rows:
        blocks += [CONTRASTS, "", *_table(head, rows), ""]
    if missing := remarks(summary):
        blocks += ["", *(f"- {line}" for line in missing), ""]
    meaning = [f"- {f'{fact.title} {ARROWS[fact.better]}'.strip()}: {fact.legend}" for fact in summary.facts.values()]
    return "\n".join([*blocks, "What the columns mean:", "", *meaning, "", published.markdown(methods_of(summary))])


def beside(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Titles and texts of the columns beside the metrics: number of clips, their time and memory."""
    names = ON_GPU if any("cuda_mb" in line.costs for line in lines) else ON_CPU
    texts = [[str(line.cells - len(line.failed)), *(_mean(line.costs.get(name)) for name in names)] for line in lines]
    return ["n", *(COSTS[name] for name in names)], texts


def _mean(figure: Figure | None) -> str:
    return number(figure.mean) if figure else "–"


def methods_of(summary: Summary) -> list[str]:
    """The methods of a table, each once, for the figures of their papers."""
    return list(dict.fromkeys(line.method for line in summary.lines))


def _head(fact: Fact) -> str:
    return " ".join(filter(None, (fact.title, ARROWS[fact.better], f"({fact.unit})" if fact.unit else "")))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    clean = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines = ["| " + " | ".join(row) + " |" for row in clean]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def about(summary: Summary) -> list[str]:
    """The lines above a table: protocol, task, metrics, how to read it."""
    protocol, metrics = summary.outcome.protocol, summary.outcome.metrics
    task, how = tasks.get(protocol.task), protocol.reducers
    counted = f"{protocol.pairs} cases of pair seed {protocol.pair_seed}, {protocol.frames} frames, {protocol.size} px"
    ways = sorted({how for line in summary.lines for how in line.computed})
    computed = f"Computed on {'; '.join(ways)}." if ways else ""
    if len(ways) > 1:
        computed += " **Times of cells that were computed differently cannot be compared.**"
    cached = " Times leave out stages that came from the cache." if any(line.cached for line in summary.lines) else ""
    return [
        f"Protocol `{protocol.name}` version {protocol.version}, SHA-256 `{protocol.hash}`"
        + (f"; **a sub-run**, not the published protocol: {_changes(summary)}." if deviations(protocol) else "."),
        f"Task `{task.name}`: {task.what}; {counted}, seeds {protocol.seeds}.",
        f"Metrics `{metrics.name}` version {metrics.version}, SHA-256 `{metrics.hash}`.",
        f"Each value: mean over cases (seeds of a case averaged first) and its {how.confidence:.0%} bootstrap "
        "interval. ①, ②, … mark ranks only in columns where intervals do not all overlap: ③ means that the whole "
        f"intervals of two rows are better; rows with fewer than {LEAST} cases or a failed cell have no rank. Metrics "
        "of whole sets (FVD, FID, energy) have a jackknife interval over the cases. Time is the wall clock's and the "
        "processor's for one clip, memory the largest peak of any cell, each cell in a process of its own, libraries "
        f"included.{cached}",
        *([computed] if computed else []),
        f"Made with {', '.join(f'{name} {version}' for name, version in manifest.versions().items())}.",
    ]


def _changes(summary: Summary) -> str:
    changed = deviations(summary.outcome.protocol).items()
    return ", ".join(f"{name} is {here}, published: {there}" for name, (there, here) in changed)


def remarks(summary: Summary) -> list[str]:
    """What is missing in the table, and why: refused rows, failed cells, skipped metrics; and notes on metrics."""
    found = [f"**{line.label}** refused: {line.refused}" for line in summary.lines if line.refused]
    for line in summary.lines:
        found += [f"failed: {' '.join(reason.split())}" for reason in line.failed]
    lacking = summary.outcome.metrics.missing
    for name, fact in summary.outcome.metrics.facts.items():
        found += [f"skipped: {lacking[name]}"] if name in lacking and name in summary.outcome.metrics.measures else []
        every = {line.label: line.figures[name] for line in summary.lines if name in line.figures}
        found += dict.fromkeys(f"skipped: {figure.skipped}" for figure in every.values() if figure.skipped)
        notes: dict[str, list[str]] = {}
        for label, figure in every.items():
            if figure.note:
                notes.setdefault(figure.note, []).append(label)
        found += [f"{fact.title} of {', '.join(labels)}: {note}" for note, labels in notes.items()]
    return found


def as_json(summary: Summary) -> dict[str, Any]:
    """Everything in the table, and the values of each cell."""
    outcome = summary.outcome
    return {
        "protocol": asked_of(outcome.protocol) | {"hash": outcome.protocol.hash},
        "deviations": {name: {"published": a, "here": b} for name, (a, b) in deviations(outcome.protocol).items()},
        "metrics": {"name": outcome.metrics.name, "version": outcome.metrics.version, "hash": outcome.metrics.hash},
        "versions": manifest.versions(),
        "columns": {name: asdict(fact) for name, fact in summary.facts.items()},
        "published": published.as_json(methods_of(summary)),
        "rows": [asdict(line) for line in summary.lines],
        "contrasts": contrasts.as_json(outcome),
        "cells": [
            {
                "row": done.cell.entry.label,
                "case": done.cell.index,
                "seed": done.cell.seed,
                "key": done.cell.key,
                "facts": done.record.get("case"),
                "reason": done.reason or None,
                "figures": done.figures,
                **{name: done.record.get(name) for name in COSTS},
            }
            for row in outcome.rows
            for done in row.cells
        ],
    }
