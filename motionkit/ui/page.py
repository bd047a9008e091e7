"""The page: tabs of components whose looks are `static/app.js` and `app.css`, joined to what runs."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from motionkit import __version__
from motionkit.ui import asking, facts, transfers
from motionkit.ui.files import Files
from motionkit.ui.guard import session_of
from motionkit.ui.work import Line

HIDDEN: dict[str, Any] = {"show_progress": "hidden", "queue": True, "concurrency_limit": None}
QUIET: dict[str, Any] = {"show_progress": "hidden", "queue": False}


def part(kind: str, value: Any = None, events: tuple[str, ...] = (), **more: Any) -> gr.HTML:
    """A component that `app.js` draws: its value goes both ways, and it raises these events."""
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


def build(files: Files, line: Line) -> gr.Blocks:
    """The whole page over these folders and this line of jobs."""
    with gr.Blocks(title="motionkit", analytics_enabled=False, fill_width=True) as page:
        part("head", {"version": __version__})
        with gr.Tabs(elem_id="mk-tabs"):
            with gr.Tab("Transfer", id="transfer"):
                clips, form = _transfer(files, line)
    del clips, form
    return page


def _transfer(files: Files, line: Line) -> tuple[list[gr.HTML], gr.HTML]:
    known = json.loads(json.dumps(facts.everything()))

    def form_of(asked: dict[str, Any]) -> dict[str, Any]:
        return facts.form(str(asked.get("method")), asked.get("backbone") or None, asked.get("preset") or None)

    def words_of(asked: dict[str, Any]) -> dict[str, str]:
        return asking.as_words(asked["form"], asked["clips"])

    with gr.Row(elem_id="mk-bench", equal_height=False):
        with gr.Column(scale=4, min_width=320, elem_id="mk-left"):
            reference = part("clip", None, ("picked",), elem_id="mk-reference", name="reference")
            driving = part("clip", None, ("picked",), elem_id="mk-driving", name="driving")
        with gr.Column(scale=5, min_width=320, elem_id="mk-middle"):
            form = part("form", {"method": "warp"}, ("run",), facts=known, server_functions=[form_of, words_of])
        with gr.Column(scale=6, min_width=320, elem_id="mk-right"):
            stage = part("stage", None, ("cancel", "example"))

    def look(value: Any, request: gr.Request) -> Any:
        return transfers.look_at(value, files, session(request))

    async def run(form: Any, reference: Any, driving: Any, request: gr.Request) -> Any:
        given = {"reference": reference, "driving": driving}
        async for state in transfers.transfer(form, given, files, line, session(request)):
            yield state

    async def example(request: gr.Request) -> Any:
        clips = transfers.example_clips()
        async for state in transfers.example(files, line, session(request)):
            yield clips["reference"], clips["driving"], state

    def cancel(state: Any) -> None:
        line.cancel(state.get("job") if isinstance(state, dict) else state)

    for clip in (reference, driving):
        clip.picked(look, clip, clip, api_name=f"look_{clip.elem_id.removeprefix('mk-')}", **QUIET)
    form.run(run, [form, reference, driving], stage, api_name="transfer", **HIDDEN)
    stage.example(example, None, [reference, driving, stage], api_name="example", **HIDDEN)
    stage.cancel(cancel, stage, None, api_name="cancel", **QUIET)
    return [reference, driving], form
