"""`results/`: a table as markdown, JSON and one page that opens from disk, with pictures of its rows on a few cases."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.media import replacing, write_image
from motionkit.media.output_files import write_json, writing
from motionkit.metrics import published
from motionkit.metrics.sets import SetFigure
from motionkit.report import Panel, contact_sheet, grid
from motionkit.report.page import document
from motionkit.report.text import mp4, png
from motionkit.table.bench import contrasts, tasks
from motionkit.table.bench.cell import video_of
from motionkit.table.bench.engine import Outcome, Row
from motionkit.table.bench.rows import published_entries
from motionkit.table.bench.summary import COSTS, Line, Summary, set_figures, summarise
from motionkit.table.bench.tables import (
    ARROWS,
    CONTRASTS,
    about,
    as_json,
    beside,
    cell_text,
    markdown,
    methods_of,
    number,
    remarks,
)
from motionkit.table.store import read_json
from motionkit.weights.hashing import hash_json

RESULTS, SETS = "results", "sets"
SHOWN = 4  # cases with pictures
PICTURED, FRAMES = 2, 5  # cases side by side in results.png, and frames of each


def write_results(folder: Path, outcome: Outcome, shown: int = SHOWN) -> Path:
    """Write results.md, .json, .html and .png below a folder, each atomically; returns the page's path.

    A sub-run, changed settings or other metrics go into a folder of their own, and never take the place of the
    published protocol's.

    Args:
        folder: of the benchmark.
        shown: how many cases have pictures, evenly spread.

    Raises:
        UserError: the folder cannot be written.
    """
    target = folder / _name(outcome)
    summary = summarise(outcome, _sets(folder, outcome))
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for name, text in {"results.md": markdown(summary), "results.html": render(summary, shown)}.items():
            with replacing(target / name) as part:
                part.write_text(text, encoding="utf-8")
    write_json(target / "results.json", as_json(summary))
    if shown:
        write_image(target / "results.png", picture(summary))
    return target / "results.html"


def _name(outcome: Outcome) -> str:
    """`results` for an unchanged published protocol with default settings; else with a hash of what differs.

    A protocol's own rows, all of them unchanged, count as published too.
    """
    from motionkit.metrics import protocols
    from motionkit.table.bench.protocol import deviations

    protocol, metrics = outcome.protocol, outcome.metrics
    own = [row.entry for row in outcome.rows] == published_entries(protocol)
    changed = [] if own else [_changes(row) for row in outcome.rows if row.entry.settings or row.entry.weights.own]
    if not changed and metrics.hash == protocols.get(metrics.name).hash:
        return f"{RESULTS}-{protocol.hash[:8]}" if deviations(protocol) else RESULTS
    return f"{RESULTS}-{hash_json([protocol.hash, changed, metrics.hash])[:8]}"


def _changes(row: Row) -> list[Any]:
    """What makes a row differ from the published one; a user's own weights are known by the key of its first cell."""
    own = [row.cells[0].cell.key if row.cells else row.refused] if row.entry.weights.own else []
    return [row.entry.label, row.entry.settings, *own]


def _sets(folder: Path, outcome: Outcome) -> dict[str, dict[str, SetFigure]]:
    """Figures over all videos of a row, kept beside the cells under a hash of metrics and cells."""
    found = {}
    for row in outcome.rows:
        done = [one for one in row.cells if one.record]
        if not done or len(done) < len(row.cells):
            continue  # its set of cases differs from the other rows'
        cells = [(one.cell.key, one.cell.seed) for one in done]
        path = folder / SETS / f"{hash_json([outcome.metrics.key, cells])[:16]}.json"
        kept = read_json(path)
        if not kept:
            kept = set_figures(outcome, row)
            write_json(path, kept)
        found[row.entry.label] = {name: SetFigure(**facts) for name, facts in kept.items()}
    return found


def render(summary: Summary, shown: int = SHOWN) -> str:
    """The page as HTML."""
    parts = [_header(summary), _figures(summary), _contrasts(summary), _costs(summary), _remarks(summary)]
    papers = published.html(methods_of(summary))
    return document(summary.title, "\n".join([*parts, *_cases(summary, shown), papers, _footer()]))


def _header(summary: Summary) -> str:
    said = "".join(f"<p>{_marked(line)}</p>" for line in about(summary))
    return f"<header><h1>{escape(summary.title)}</h1>{said}</header>"


def _marked(line: str) -> str:
    """A line of markdown as HTML: `code` and **bold** alone."""
    for mark, tag in (("`", "code"), ("**", "b")):
        parts = (escape(line) if mark == "`" else line).split(mark)
        line = "".join(f"<{tag}>{part}</{tag}>" if index % 2 else part for index, part in enumerate(parts))
    return line


def _figures(summary: Summary) -> str:
    facts = summary.facts
    head = "".join(
        f'<th title="{escape(f.meaning)}">{escape(f.title)} {ARROWS[f.better]}'
        f"<small>{escape(f.unit) or '&nbsp;'}</small></th>"
        for f in facts.values()
    )
    titles, texts = beside(summary.lines)
    head += "".join(f"<th>{escape(title)}</th>" for title in titles)
    rows = "".join(
        _row(line, [*(_td(line, name) for name in facts), *(f"<td>{t}</td>" for t in text)], len(facts) + len(text))
        for line, text in zip(summary.lines, texts, strict=True)
    )
    meaning = "".join(
        f"<dt>{escape(f.title)} {ARROWS[f.better]}</dt><dd>{escape(f.legend)}</dd>" for f in facts.values()
    )
    return _section("Figures", head, rows) + f'<dl class="meaning">{meaning}</dl></section>'


def _td(line: Line, name: str) -> str:
    figure = line.figures.get(name)
    best = ' class="best"' if figure is not None and figure.rank == 1 else ""
    return f"<td{best}>{escape(cell_text(figure))}</td>"


def _contrasts(summary: Summary) -> str:
    titles, lines = contrasts.texts(summary.outcome, number)
    if not lines:
        return ""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles[1:])
    rows = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in line) + "</tr>" for line in lines)
    return _section("Row against row", head, rows) + f'<p class="soft">{escape(CONTRASTS)}</p></section>'


def _costs(summary: Summary) -> str:
    names = [name for name in COSTS if any(name in line.costs for line in summary.lines)]
    settled = any(line.settings for line in summary.lines)
    titles = [*(COSTS[name] for name in names), "Inputs used", "Weights", "Works at"] + ["Settings"] * settled
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    rows = ""
    for line in summary.lines:
        texts = [cell_text(line.costs.get(name)) for name in names]
        texts += [", ".join(line.inputs_used) or "–", line.weights or "none", line.size]
        texts += [line.settings] if settled else []
        rows += _row(line, [f"<td>{escape(text)}</td>" for text in texts], len(titles))
    return _section("Cost, inputs and weights", head, rows) + "</section>"


def _section(title: str, head: str, rows: str) -> str:
    return (
        f'<section><h2>{escape(title)}</h2><div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(line: Line, cells: Sequence[str], columns: int) -> str:
    if line.figures:
        return f"<tr><td>{escape(line.label)}</td>{''.join(cells)}</tr>"
    reason = line.refused or next(iter(line.failed), "it was not run")
    word = "refused" if line.refused else "failed"
    return (
        f'<tr><td>{escape(line.label)}</td><td class="reason" colspan="{columns}">'
        f'<span class="bad">{word}</span> {escape(reason)}</td></tr>'
    )


def _remarks(summary: Summary) -> str:
    lines = "".join(f"<p>{_marked(line)}</p>" for line in remarks(summary))
    return f'<section><h2>What is missing, and why</h2><div class="failures">{lines}</div></section>' if lines else ""


def picture(summary: Summary) -> np.ndarray:
    """Contact sheets of the first and the last case side by side, (H, W, 3) uint8."""
    sheets = [contact_sheet(_panels(summary, index)[1], FRAMES) for index in _spread(summary, PICTURED)]
    tallest = max(len(sheet) for sheet in sheets)  # a row that failed on a case has no strip there
    padded = [np.pad(s, ((0, tallest - len(s)), (0, 0), (0, 0)), constant_values=255) for s in sheets]
    return np.concatenate(padded, 1)


def _spread(summary: Summary, count: int) -> list[int]:
    """Indices of some cases, evenly spread."""
    pairs = summary.outcome.protocol.pairs
    return [int(i) for i in np.unique(np.linspace(0, pairs - 1, min(count, pairs)).round())]


def _cases(summary: Summary, shown: int) -> list[str]:
    """A section per case: its videos in one grid, and a contact sheet."""
    return [_case(summary, index) for index in _spread(summary, shown)] if shown else []


def _panels(summary: Summary, index: int) -> tuple[tasks.Case, list[Panel]]:
    """A case, and its inputs, every row's video and the truth, labelled."""
    protocol = summary.outcome.protocol
    case = tasks.make_case(protocol.task, index, protocol.pair_seed, protocol.frames, protocol.size)
    clips = {"driving": case.inputs.driving, "reference": case.inputs.reference}
    panels = [Panel(name, clip.frames) for name, clip in clips.items() if clip is not None]
    for row in summary.outcome.rows:
        made = [done.cell for done in row.cells if done.record and done.cell.index == index]
        panels += [Panel(row.entry.label, video_of(cell)) for cell in made[:1]]
    return case, [*panels, Panel("truth", case.truth)]


def _case(summary: Summary, index: int) -> str:
    case, panels = _panels(summary, index)
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in case.facts.items())
    return (
        f'<section class="sheet"><h2>Case {index}: {escape(case.inputs.prompt)}</h2>'
        f'<p class="soft">{escape(facts)}; each row shows its first finished seed</p>'
        f'<video src="{mp4(grid(panels), tasks.FPS)}" controls loop muted playsinline></video>'
        f'<img src="{png(contact_sheet(panels))}" alt="evenly spaced frames of every row"></section>'
    )


def _footer() -> str:
    return "<footer>Videos made by methods are AI-generated. Pocket weights were trained on sprites only.</footer>"
