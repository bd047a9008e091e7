"""One card per method: its inputs, time and memory, settings, and what its model saw."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from motionkit.report.model import MethodResult, Report
from motionkit.report.text import backbone, data, memory, seconds


def cards(report: Report) -> str:
    """The section with a card for every method that has a manifest."""
    made = "".join(_card(entry) for entry in report.entries if entry.manifest)
    return f'<section><h2>Methods</h2><div class="cards">{made}</div></section>'


def _card(entry: MethodResult) -> str:
    manifest = entry.manifest
    method = manifest.get("method", {})
    title = escape(str(method.get("title") or entry.name))
    url = str(method.get("paper_url") or "")
    if url.startswith(("https://", "http://")):
        title = f'<a href="{escape(url)}" rel="noreferrer">{title}</a>'
    used = set(manifest.get("inputs_used", ()))
    chips = "".join(
        f'<span class="chip{"" if name in used else " off"}" title="{"used" if name in used else "not used"}">'
        f"{escape(name)}</span>"
        for name in manifest.get("inputs", ())
    )
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _facts(entry).items() if v)
    failed = f'<p><span class="bad">failed</span> {escape(entry.reason)}</p>' if entry.frames is None else ""
    remarks = "".join(f"<p>{escape(str(line))}</p>" for line in manifest.get("remarks") or ())
    strips = "".join(
        f'{escape(name)}<div class="strip"><img src="{data("image/png", picture)}" alt="{escape(name)}"></div>'
        for name, picture in entry.shown.items()
    )
    seen = f"<details><summary>What the model saw</summary>{strips}</details>" if strips else ""
    return (
        f'<article class="card"><h3>{title}</h3>{failed}{remarks}'
        f'<div class="chips">{chips}</div><dl class="facts">{facts}</dl>'
        f"{seen}{_json('Settings', manifest.get('config'))}{_json('Notes', manifest.get('notes'))}"
        f"{_json('Memory plan', manifest.get('plan'))}</article>"
    )


def _facts(entry: MethodResult) -> dict[str, str]:
    manifest = entry.manifest
    stages = manifest.get("stages", {})
    times = ", ".join(
        f"{name} {seconds(record.get('seconds'))}{' (cached)' if record.get('cached') else ''}"
        for name, record in stages.items()
    )
    size = manifest.get("size") or {}
    return {
        "backbone": backbone(entry.manifest),
        "time": f"{seconds(manifest.get('seconds'))}{f': {times}' if times else ''}",
        "peak memory": memory(manifest),
        "working size": f"{size.get('width')} × {size.get('height')}, {manifest.get('frames')} frames" if size else "",
        "licence": str(manifest.get("method", {}).get("licence") or ""),
    }


def _json(title: str, value: Any) -> str:
    if not value:
        return ""
    text = json.dumps(value, indent=2, default=str, ensure_ascii=False)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
