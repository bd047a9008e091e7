"""The page: tabs of components whose looks are in `static/`, joined to what runs."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from motionkit import __version__
from motionkit.errors import UserError
from motionkit.ui import ahead, asking, comparisons, facts, gallery, maps, tables, transfers
from motionkit.ui.parts import QUICK, WORKS, Desk, part, session
from motionkit.ui.work import one_line

FOLLOWERS = 400  # browsers that may wait in our line at a time; Gradio's own queue would leave the 41st without a word


def build(desk: Desk) -> gr.Blocks:
    """The whole page."""
    with gr.Blocks(title="motionkit", analytics_enabled=False, fill_width=True) as page:
        part("head", {"version": __version__, "alone": desk.files.alone})
        with gr.Tabs(elem_id="mk-tabs"):
            with gr.Tab("Transfer", id="transfer"):
                _transfer(desk)
            with gr.Tab("Compare", id="compare"):
                _compare(desk)
            with gr.Tab("Gallery", id="gallery"):
                _gallery(desk)
            with gr.Tab("Batch", id="batch"):
                _batch(desk)
            with gr.Tab("Tables", id="tables"):
                _tables(desk)
            with gr.Tab("Study", id="study"):
                _study(desk)
            with gr.Tab("Doctor", id="doctor"):
                _doctor(desk)
    page.max_threads = FOLLOWERS
    page.queue()  # made anew, with that many places
    return page


def _transfer(desk: Desk) -> None:
    files, line = desk.files, desk.line
    known = json.loads(json.dumps(facts.everything()))

    def form_of(asked: dict[str, Any]) -> dict[str, Any]:
        method = str(asked.get("method"))
        return facts.form(method, asked.get("backbone") or None, asked.get("preset") or None)

    def words_of(asked: dict[str, Any]) -> dict[str, str]:
        return _said(asking.as_words, asked["form"], asked["clips"])

    def ahead_of(asked: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        return ahead.ahead(asked.get("form"), asked.get("clips") or {}, files, session(request))

    def map_of(asked: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        return maps.gathered(asked, files, session(request))

    def frame_of(asked: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        return maps.first_frame(asked.get("form"), asked.get("clips") or {}, files, session(request))

    asks = [form_of, words_of, ahead_of, map_of, frame_of]
    with gr.Row(elem_id="mk-bench", equal_height=False):
        with gr.Column(scale=4, min_width=320, elem_id="mk-left"):
            for name in asking.CLIPS:
                desk.clips[name] = part("clip", None, ("picked",), elem_id=f"mk-{name}", name=name)
        with gr.Column(scale=5, min_width=320, elem_id="mk-middle"):
            desk.form = part("form", {"method": "warp"}, ("run",), facts=known, server_functions=asks)
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

    for name, clip in desk.clips.items():
        clip.picked(look, clip, clip, api_name=f"look_{name}", **QUICK)
    desk.form.run(run, [desk.form, *desk.clips.values()], stage, api_name="transfer", **WORKS)
    stage.example(example, None, [*desk.clips.values(), stage], api_name="example", **WORKS)
    _cancels(desk, stage, "cancel")


def _cancels(desk: Desk, stage: gr.HTML, name: str) -> None:
    def cancel(state: Any) -> None:
        desk.line.cancel(state.get("job") if isinstance(state, dict) else state)

    stage.cancel(cancel, stage, None, api_name=name, **QUICK)


def _compare(desk: Desk) -> None:
    with gr.Row(equal_height=False, elem_classes="mk-side"):
        with gr.Column(scale=3, min_width=280):
            pick = part("choose", {"methods": ["still", "warp"]}, ("run",), elem_id="mk-compare-pick")
        with gr.Column(scale=9, min_width=320):
            wall = part("compared", None, ("cancel",), elem_id="mk-compared")

    async def run(asked: Any, form: Any, reference: Any, driving: Any, request: gr.Request) -> Any:
        given = {"reference": reference, "driving": driving}
        async for state in comparisons.compare(asked, form or {}, given, desk.files, desk.line, session(request)):
            yield state

    pick.run(run, [pick, desk.form, *desk.clips.values()], wall, api_name="compare", **WORKS)
    _cancels(desk, wall, "cancel_compare")


def _gallery(desk: Desk) -> None:
    files = desk.files

    def runs_of(_: Any = None) -> list[dict[str, Any]]:
        return gallery.runs(files)

    def run_of(name: str) -> dict[str, Any]:
        return _said(gallery.opened, files, name)

    def form_of_run(name: str) -> dict[str, Any]:
        return _said(gallery.form_of, files, name)

    def delete_run(name: str) -> dict[str, Any]:
        return _said(gallery.delete, files, name) or {}

    part("gallery", None, (), server_functions=[runs_of, run_of, form_of_run, delete_run])


def _said(call: Any, *given: Any) -> Any:
    """What a call returns, or {"error": one line} for what its user can mend."""
    try:
        return call(*given)
    except UserError as error:
        return {"error": one_line(error)}


def _batch(desk: Desk) -> None:
    with gr.Row(equal_height=False, elem_classes="mk-side"):
        with gr.Column(scale=4, min_width=280):
            ask = part("batch", {"methods": ["warp"], "files": []}, ("run",))
        with gr.Column(scale=8, min_width=320):
            rows = part("batched", None, ("cancel",))

    async def run(asked: Any, request: gr.Request) -> Any:
        async for state in comparisons.batch(asked, desk.files, desk.line, session(request)):
            yield state

    ask.run(run, ask, rows, api_name="batch", **WORKS)
    _cancels(desk, rows, "cancel_batch")


def _tables(desk: Desk) -> None:
    def tables_of(_: Any = None) -> list[dict[str, Any]]:
        return tables.benches(desk.files)

    part("tables", None, (), server_functions=[tables_of])


def _study(desk: Desk) -> None:
    def comparisons_of(_: Any = None) -> list[dict[str, Any]]:
        return tables.comparisons(desk.files)

    def vote_of(said: dict[str, Any]) -> dict[str, Any]:
        return _said(tables.vote, desk.files, said)

    page = part("study", None, ("begin",), server_functions=[comparisons_of, vote_of])

    def begin(asked: Any, request: gr.Request) -> Any:
        return tables.begin(desk.files, (asked or {}).get("names"), session(request))

    page.begin(begin, page, page, api_name="study", **QUICK)


def _doctor(desk: Desk) -> None:
    def health_of(_: Any = None) -> list[list[str]]:
        return [list(row) for row in desk.health()] if desk.health else []

    part("doctor", None, (), server_functions=[health_of])
