"""What every tab of the page is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from motionkit.ui.files import Files
from motionkit.ui.guard import session_of
from motionkit.ui.work import Line

Row = tuple[str, str, str]  # what, ok | missing | WRONG, detail
WORKS: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}  # waits in our own line
QUICK: dict[str, Any] = {"show_progress": "hidden", "queue": False}


@dataclass
class Desk:
    """What the tabs share.

    Attributes:
        health: what `motionkit doctor` finds, or None where nobody can say.
        clips, form: the components of the Transfer tab, which the others read too.
    """

    files: Files
    line: Line
    health: Callable[[], list[Row]] | None = None
    clips: dict[str, gr.HTML] = field(default_factory=dict)
    form: Any = None


def part(kind: str, value: Any = None, events: tuple[str, ...] = (), **more: Any) -> gr.HTML:
    """A component that `static/*.js` draws: its value goes both ways, and it raises these events."""
    said = " ".join(f'"{event}"' for event in events)
    return gr.HTML(
        value=value,
        html_template=f'<div class="mk mk-{kind}"></div>',
        js_on_load=f'mk.mount("{kind}", {{element, props, trigger, watch, server, upload}}); /* {said} */',
        apply_default_css=False,
        elem_id=more.pop("elem_id", f"mk-{kind}"),
        **more,
    )


def session(request: gr.Request) -> str:
    """The secret of the browser that asks."""
    return session_of(request.headers.get("cookie", "") if request else "")
