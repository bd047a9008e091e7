"""The index of a list of jobs: one table over all of them, a line and a picture for each, and the same as JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from motionkit import __version__
from motionkit.media import replacing
from motionkit.media.output_files import write_json, writing
from motionkit.metrics import bootstrap_interval, facts
from motionkit.report.page import document
from motionkit.report.table import ARROWS
from motionkit.report.text import data, number, seconds
from motionkit.table.compare.outcome import REPORT

JOBS, INDEX, SUMMARY = "jobs", "index.html", "summary.json"
_WIDEST = 900  # pixels of a job's picture
_RESAMPLES = 2_000  # the index is written again after each job


@dataclass(frozen=True)
class Done:
    """The result of one job.

    Attributes:
        rows: a mapping per method as in a comparison's metrics.json: status, reason, metrics, seconds.
        still: (H, W, 3) uint8, one frame of all its videos; None when it has none, or failed as a whole.
        reason: why it failed as a whole, in one line.
    """

    name: str
    rows: Sequence[Mapping[str, Any]] = ()
    still: np.ndarray | None = None
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether the job or one of its methods failed."""
        return bool(self.why)

    @property
    def why(self) -> str:
        """The reason in one line, or a part for each method that failed; "" when none did."""
        return self.reason or "; ".join(f"{row['method']}: {row['reason']}" for row in self.rows if row["reason"])


def write_index(folder: Path, done: Sequence[Done], total: int) -> None:
    """Write index.html and summary.json, each atomically.

    Args:
        total: jobs of the whole list; those that are not in `done` are to do.

    Raises:
        UserError: the folder cannot be written.
    """
    summary = summarise(done)
    jobs = [
        {
            "job": job.name,
            "status": "failed" if job.failed else "complete",
            "reason": job.why or None,
            "methods": list(job.rows),
        }
        for job in done
    ]
    used = {name for row in summary.values() for name in row}
    write_json(
        folder / SUMMARY,
        {
            "motionkit": __version__,
            "jobs_done": len(done),
            "jobs": total,
            "summary": summary,
            "each": jobs,
            "metrics": {name: asdict(fact) for name, fact in facts().items() if name in used},
        },
    )
    body = "\n".join((_header(done, total), _table(summary), _jobs(done)))
    with writing(folder / INDEX), replacing(folder / INDEX) as temporary:
        temporary.write_text(document(f"Motion transfer: {total} jobs", body), encoding="utf-8")


def summarise(done: Sequence[Done]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Method -> metric -> n, mean, low, high (95 % bootstrap interval) over the jobs in which it has a value.

    One job alone has no interval: low and high are None.

    "seconds" is among the metrics. A method without any value has an empty mapping.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for job in done:
        for row in job.rows:
            own = values.setdefault(row["method"], {})
            for name, value in {**row["metrics"], "seconds": row.get("seconds")}.items():
                if value is not None and not row["reason"]:
                    own.setdefault(name, []).append(float(value))
    return {method: {name: _figure(v) for name, v in own.items()} for method, own in values.items()}


def _figure(values: list[float]) -> dict[str, float | None]:
    if len(values) == 1:  # one job has no interval
        return {"n": 1, "mean": values[0], "low": None, "high": None}
    return {"n": len(values), **bootstrap_interval(values, resamples=_RESAMPLES)._asdict()}


def _header(done: Sequence[Done], total: int) -> str:
    lines = "".join(
        f'<p><span class="bad">{escape(job.name)} failed:</span> {escape(job.why)}</p>' for job in done if job.failed
    )
    left = f"<li>to do <b>{total - len(done)}</b></li>" if len(done) < total else ""
    box = f'<div class="failures">{lines}</div>' if lines else ""
    failed = sum(job.failed for job in done)
    counts = f"<li>done <b>{len(done) - failed}</b></li>" + (f"<li>failed <b>{failed}</b></li>" if failed else "")
    return f'<header><h1>{total} jobs</h1><ul class="request">{counts}{left}</ul>{box}</header>'


def _table(summary: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    used = [fact for fact in facts().values() if any(fact.name in row for row in summary.values())]
    head = "".join(
        f'<th title="{escape(fact.meaning)}">{escape(fact.title)} {ARROWS[fact.better]}'
        f"<small>{escape(fact.unit) or '&nbsp;'}</small></th>"
        for fact in used
    )
    rows = "".join(
        f"<tr><td>{escape(method)}</td>{''.join(_cell(row.get(fact.name)) for fact in used)}"
        f"{_cell(row.get('seconds'))}</tr>"
        for method, row in summary.items()
    )
    meaning = "".join(f"<dt>{escape(fact.title)}</dt><dd>{escape(fact.legend)}</dd>" for fact in used)
    return (
        '<section><h2>Metrics over all jobs</h2><div class="scroll"><table><thead><tr><th>Method<small>&nbsp;</small>'
        f"</th>{head}<th>Time<small>s</small></th></tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="soft">Mean, [95 % bootstrap interval], number of jobs with a value.</p>'
        f'<dl class="meaning">{meaning}</dl></section>'
    )


def _cell(figure: Mapping[str, float | None] | None) -> str:
    if figure is None:
        return "<td>–</td>"
    interval = "" if figure["low"] is None else f"[{number(figure['low'])}, {number(figure['high'])}] "
    return f"<td>{number(figure['mean'])}<br><small>{interval}n {figure['n']:.0f}</small></td>"


def _jobs(done: Sequence[Done]) -> str:
    return "<section><h2>Jobs</h2>" + "".join(_job(job) for job in done) + "</section>"


def _job(job: Done) -> str:
    if job.reason:
        return f'<p><b>{escape(job.name)}</b> <span class="bad">failed</span> {escape(job.reason)}</p>'
    page = quote(f"{JOBS}/{job.name}/{REPORT}")
    times = ", ".join(f"{row['method']} {seconds(row.get('seconds')) or 'failed'}" for row in job.rows)
    picture = f'<img src="{_jpeg(job.still)}" alt="{escape(job.name)}">' if job.still is not None else ""
    return (
        f'<p><a href="{page}"><b>{escape(job.name)}</b></a> <span class="soft">{escape(times)}</span></p>'
        f'<div class="sheet">{picture}</div>'
    )


def _jpeg(picture: np.ndarray) -> str:
    image, buffer = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((_WIDEST, _WIDEST))
    image.save(buffer, "JPEG", quality=85)
    return data("image/jpeg", buffer.getvalue())
