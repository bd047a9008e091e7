"""`report.html`: one file that opens from disk, with everything embedded and every text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path

from motionkit.media import replacing
from motionkit.report.cards import cards
from motionkit.report.model import MethodResult, Report
from motionkit.report.table import table
from motionkit.report.text import backbone, mp4, png, seconds
from motionkit.report.tiles import Panel, contact_sheet


def write_report(path: str | Path, report: Report) -> None:
    """Write the page, atomically.

    Raises:
        UserError: the place cannot be written.
        ValueError: panels with different numbers of frames.
    """
    text = render(report)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(report: Report) -> str:
    """The page as text; without panels it has no players and no contact sheet."""
    shown = bool(report.panels())
    parts = (_header, *[_players] * shown, table, *[_sheet] * shown, cards, _citations, _footer)
    return document(report.title, "\n".join(part(report) for part in parts), player=shown)


def document(title: str, body: str, player: bool = False, script: str = "") -> str:
    """A whole HTML page in the house style around a body, which must have been escaped.

    `player` adds the script of the players in step, `script` another one.

    Nothing may be fetched, and no script may run but this one, whatever a prompt or a method's note contains.
    """
    read = resources.files("motionkit.report").joinpath
    style = read("style.css").read_text("utf-8")
    script = read("player.js").read_text("utf-8") if player else script
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; media-src data: blob:; style-src 'unsafe-inline'"
    if script:
        policy += f"; script-src 'sha256-{digest}'"
        body += f"\n<script>{script}</script>"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    items = "".join(f"<li>{escape(key)} <b>{escape(text)}</b></li>" for key, text in report.request.items() if text)
    failed = [entry for entry in report.entries if entry.frames is None]
    lines = "".join(f'<p><span class="bad">{escape(e.name)} failed:</span> {escape(e.reason)}</p>' for e in failed)
    box = f'<div class="failures">{lines}</div>' if failed else ""
    return f'<header><h1>{escape(report.title)}</h1><ul class="request">{items}</ul>{box}</header>'


def _players(report: Report) -> str:
    panels = report.panels()
    count = max(len(panel.frames) for panel in panels)
    made = {entry.name: entry for entry in report.entries}
    figures = "".join(_figure(panel, made.get(panel.label), report.fps) for panel in panels)
    return (
        "<section><h2>Side by side</h2>"
        '<div class="bar"><button id="play" type="button">Play</button>'
        f'<input id="seek" class="seek" type="range" min="0" max="{count - 1}" value="0" aria-label="frame">'
        f'<output id="shown">frame 1 / {count}</output>'
        '<label>speed <select id="speed"><option value="0.25">¼</option><option value="0.5">½</option>'
        '<option value="1" selected>1</option><option value="2">2</option></select></label>'
        '<label class="zoom">size <input id="zoom" type="range" min="120" max="640" value="190" step="10"></label>'
        "</div>"
        f'<div class="players" data-frames="{count}" data-fps="{report.fps!r}">{figures}</div>'
        '<p class="soft">Space plays and pauses, the arrow keys step by one frame.</p></section>'
    )


def _figure(panel: Panel, entry: MethodResult | None, fps: float) -> str:
    small = ""
    if entry is not None:
        small = " ".join(filter(None, (backbone(entry.manifest), seconds(entry.manifest.get("seconds")))))
    height, width = panel.frames.shape[1:3]
    if len(panel.frames) == 1:
        media = f'<img src="{png(panel.frames[0])}" alt="{escape(panel.label)}">'
    else:
        media = f'<video src="{mp4(panel.frames, fps)}" muted playsinline width="{width}" height="{height}"></video>'
    caption = f"{escape(panel.label)}<small>{escape(small) or '&nbsp;'}</small>"
    return f"<figure>{media}<figcaption>{caption}</figcaption></figure>"


def _sheet(report: Report) -> str:
    return (
        '<section class="sheet"><h2>Contact sheet</h2>'
        f'<img src="{png(contact_sheet(report.panels()))}" alt="evenly spaced frames of every video"></section>'
    )


def _citations(report: Report) -> str:
    entries = [str(e.manifest.get("method", {}).get("citation") or "").strip() for e in report.entries if e.manifest]
    text = "\n\n".join(dict.fromkeys(filter(None, entries)))
    return f"<section><h2>Citations</h2><pre>{escape(text)}</pre></section>" if text else ""


def _footer(report: Report) -> str:
    versions: Mapping[str, str] = next(
        (entry.manifest["versions"] for entry in report.entries if "versions" in entry.manifest), {}
    )
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"<footer>Videos made by methods are AI-generated. {escape(text)}</footer>"
