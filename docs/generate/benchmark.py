"""Pages of figures, read from the files that `motionkit bench` left in benchmarks/, and the protocols behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from docs.generate.text import HEAD, code, number, paragraphs, table
from motionkit.registry import METRICS
from motionkit.weights.places import weights_version

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "head_to_head" / "results.json"
LEDGER = ROOT / "benchmarks" / "head_to_head" / "ledger.json"
PROTOCOLS, ABLATIONS, METRIC_SETS = (ROOT / "conf" / name for name in ("bench", "ablation", "metrics"))
SHOWN = ("psnr", "keypoint_error", "motion_agreement", "kind_agreement", "reference_consistency")
_ARROWS = {"higher": " ↑", "lower": " ↓"}


def pages() -> dict[str, str]:
    """The head-to-head table, the ledger's summary and the protocols."""
    return {
        "benchmark/head-to-head.md": head_to_head(),
        "benchmark/ablations.md": ablations(),
        "benchmark/protocols.md": protocols(),
    }


@cache
def _results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def _weights(made: Mapping[str, Any]) -> str:
    """Which small weights a table was made with; results that do not say are of the first."""
    version = made["versions"].get("pocket-weights", "1")
    newer = weights_version() != version
    return f"version {version} of the small weights" + f" (the package ships version {weights_version()})" * newer


def _column(name: str) -> str:
    column = _results()["columns"][name]
    unit = f", {column['unit']}" if column.get("unit") else ""
    return f"{column['title']}{_ARROWS.get(column.get('better', ''), '')}{unit}"


def _figure(found: Mapping[str, Any] | None) -> str:
    """Mean and interval; the best, where its interval stands apart from the next, is bold."""
    if not found or found["mean"] is None:
        return ""
    mean = number(found["mean"])
    mean = f"**{mean}**" if found.get("rank") == 1 else mean
    if found["low"] is None:
        return mean
    return f"{mean} <small>[{number(found['low'])}, {number(found['high'])}]</small>"


def _columns() -> list[str]:
    return [name for name in SHOWN if name in _results()["columns"]]


def head_to_head() -> str:
    """Every method on the same request, one row each."""
    made, chosen = _results(), _columns()
    rows = [
        (
            f"[{row['label']}](../methods/{row['method']}.md)",
            ", ".join(row["inputs_used"]),
            *(_figure(row["figures"].get(name)) for name in chosen),
            _figure(row["costs"]["cpu_seconds"]).partition(" ")[0],
            _figure(row["costs"]["rss_mb"]),
        )
        for row in made["rows"]
    ]
    head = ("", "reads", *map(_column, chosen), "core-seconds", "memory, MB")
    meanings = [(made["columns"][name]["title"], made["columns"][name]["meaning"]) for name in chosen]
    protocol = made["protocol"]
    return paragraphs(
        "# Head to head",
        HEAD,
        f"`motionkit bench` on the protocol `{protocol['name']}` version {protocol['version']}: {protocol['pairs']} "
        f"cases with a known true answer, {protocol['frames']} frames of {protocol['size']} px, "
        f"{_weights(made)}, characters that no training saw. Mean over cases and its 95 % bootstrap interval; bold: "
        "nothing is better with its whole interval.",
        "![two of the cases: driving clip, reference, every method, truth](head_to_head/results.png)",
        table(head, rows),
        "A method answers for what it reads. FlipSketch sees outlines and a sentence; "
        "VIDMP3 knows the character in words alone. Neither can know what it looks like in detail.",
        "## What the columns mean",
        table(("figure", "meaning"), meanings),
        "All figures: [the full tables](head_to_head/results.md). What they show and what they do not: [notes on "
        "the figures](figures.md).",
    )


def measured(method: str) -> str:
    """A section with a method's row of the head-to-head table; nothing for a method that was not measured."""
    rows = [row for row in _results()["rows"] if row["method"] == method]
    if not rows:
        return ""
    floor = next((row for row in _results()["rows"] if row["method"] == "still" != method), None)
    shown = [*rows, *([floor] if floor else [])]
    lines = [(_column(name), *(_figure(row["figures"].get(name)) for row in shown)) for name in _columns()]
    lines.append(("core-seconds a clip", *(_figure(row["costs"]["cpu_seconds"]).partition(" ")[0] for row in shown)))
    lines.append(("memory, MB", *(_figure(row["costs"]["rss_mb"]) for row in shown)))
    return paragraphs(
        "## Measured",
        f"On {_weights(_results())}, {_results()['protocol']['pairs']} cases with a known true answer "
        "([how](../benchmark/head-to-head.md)). `still` repeats the reference.",
        table(("", *(row["label"] for row in shown)), lines),
    )


def ablations() -> str:
    """How many of the papers' ablation rows agree here, by method."""
    made = json.loads(LEDGER.read_text(encoding="utf-8"))
    counts: dict[str, dict[str, int]] = {}
    for row in made["rows"]:
        for verdict in row["verdicts"]:
            held = counts.setdefault(row["method"], {})
            held[verdict["word"]] = held.get(verdict["word"], 0) + 1
    verdicts = sorted({verdict for held in counts.values() for verdict in held})
    rows = [(f"[{m}](../methods/{m}.md)", *(str(held.get(v, 0)) for v in verdicts)) for m, held in counts.items()]
    return paragraphs(
        "# The papers' ablations",
        HEAD,
        "An ablation leaves out or changes one part of a method. `bench=ablations` runs each row that the four "
        f"papers print ({len(list(ABLATIONS.glob('*.yaml')))} rows in `conf/ablation/`) and writes the direction "
        "that the paper reports beside what comes out here.",
        "<!-- test: compose -->\n```sh\nmotionkit bench bench=ablations 'ablations=[flipsketch-*]'\n```",
        "Claims by method: each says that one figure goes up or down. *Within noise* means that the 95 % interval "
        f"of the paired difference holds 0. Made with {_weights(made)}.",
        table(("method", *verdicts), rows),
        "Rows that need a trained variant: `make train-animatex-ablations-all`, then "
        "`bench.variants=runs/train/animatex-ablations`. Fewer cases by protocol: "
        "`'bench.pairs={drawing:6,sprites:6}'`.",
        "[Every row](head_to_head/ledger.md), and [what they show](figures.md).",
    )


def protocols() -> str:
    """What `bench=NAME` can be, the sets of metrics, and every registered metric."""
    held = [_yaml(path) for path in sorted(PROTOCOLS.glob("*.yaml"))]
    rows = [
        (code(p["name"]), str(p["version"]), p["task"], p["pairs"], p["frames"], p["size"], code(p["metrics"]))
        for p in held
        if "task" in p
    ]
    sets = [_yaml(path) for path in sorted(METRIC_SETS.glob("*.yaml"))]
    metrics = [
        (code(m.name), m.fact.title, m.fact.unit, _better(m.fact.better), m.fact.by, m.fact.needs, m.fact.meaning)
        for m in METRICS.every()
    ]
    return paragraphs(
        "# Protocols",
        HEAD,
        "A protocol is data with a version and a SHA-256 (`conf/bench/`). Any change makes another protocol with "
        "another hash, and its table says so.",
        table(("bench=", "version", "task", "cases", "frames", "px", "metrics"), _text(rows)),
        "## Sets of metrics",
        table(("set", "version", "what it is"), [(code(s["name"]), str(s["version"]), s["summary"]) for s in sets]),
        "Figures that need weights which are not on the machine are left out and listed with their size and "
        "licence. FVD refuses fewer than 256 clips unless told otherwise. Pocket FVD, FID and energy use small "
        "sprite networks: they are not comparable with FVD or FID. The papers' printed figures stand in tables of "
        "their own.",
        "## Metrics",
        "Each is made by what its row says, and measured against the input of the column *against*. "
        "Subject consistency, background consistency, smoothness, dynamic degree and flicker: "
        "[figures after VBench](steadiness.md).",
        table(("name", "title", "unit", "better", "made by", "against", "meaning"), metrics),
    )


def _better(word: str) -> str:
    return {"higher": "↑", "lower": "↓"}.get(word, "")


def _text(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in rows]


def _yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
