"""The table of metrics: one row per method, the best of each column marked, every column explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from motionkit.report.model import MethodResult, Report
from motionkit.report.text import memory, number, seconds
from motionkit.settings.fact import Fact

ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1", "none": ""}


def table(report: Report) -> str:
    """The section with the table, the meaning of its columns and the report's notes."""
    used = [fact for fact in report.facts if any(fact.name in entry.metrics for entry in report.entries)]
    best = {fact.name: _best(fact, report.entries) for fact in used}
    head = "".join(
        f'<th title="{escape(fact.meaning)}">{escape(fact.title)} {ARROWS[fact.better]}'
        f"<small>{escape(fact.unit) or '&nbsp;'}</small></th>"
        for fact in used
    )
    head += "".join(f"<th>{name}<small>&nbsp;</small></th>" for name in ("Time", "Peak memory", "Inputs used"))
    rows = "".join(_row(entry, used, best) for entry in report.entries)
    meaning = "".join(
        f"<dt>{escape(fact.title)} {ARROWS[fact.better]}</dt><dd>{escape(fact.legend)}</dd>" for fact in used
    )
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in report.notes)
    return (
        '<section><h2>Metrics</h2><div class="scroll"><table>'
        f"<thead><tr><th>Method<small>&nbsp;</small></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<dl class="meaning">{meaning}</dl>{notes}</section>'
    )


def _row(entry: MethodResult, used: Sequence[Fact], best: Mapping[str, float | None]) -> str:
    if entry.frames is None:
        return (
            f'<tr><td>{escape(entry.name)}</td><td class="reason" colspan="{len(used) + 3}">'
            f'<span class="bad">failed</span> {escape(entry.reason)}</td></tr>'
        )
    cells = ""
    for fact in used:
        value = entry.metrics.get(fact.name)
        mark = ' class="best"' if value is not None and value == best[fact.name] else ""
        cells += f"<td{mark}>{number(value)}</td>"
    inputs = ", ".join(entry.manifest.get("inputs_used", ())) or "–"
    cached = " (partly cached)" if entry.manifest.get("from_cache") else ""
    return (
        f"<tr><td>{escape(entry.name)}</td>{cells}<td>{escape(seconds(entry.manifest.get('seconds')))}{cached}</td>"
        f"<td>{escape(memory(entry.manifest))}</td><td>{escape(inputs)}</td></tr>"
    )


def _best(fact: Fact, entries: Sequence[MethodResult]) -> float | None:
    """The best value of a column, when there is something to compare."""
    values = [v for entry in entries if (v := entry.metrics.get(fact.name)) is not None]
    if len(values) < 2 or fact.better == "none":
        return None
    keys = {"higher": lambda v: -v, "lower": lambda v: v, "one": lambda v: abs(v - 1)}
    return min(values, key=keys[fact.better])
