"""Transfers for the page: one run, and the shipped example through every method that moves it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from motionkit import registry
from motionkit.errors import UserError
from motionkit.running.request import Request, check
from motionkit.ui import asking, facts
from motionkit.ui.files import EXAMPLE, Files, url
from motionkit.ui.looking import look
from motionkit.ui.showing import finished, follow, inputs_of, refused
from motionkit.ui.work import Job, Line, one_line

EXAMPLE_TEXTS = {"prompt": "orange giraffe running", "source_prompt": "a purple cat running"}


def look_at(value: Any, files: Files, session: str) -> dict[str, Any] | None:
    """What the page shows of a clip that was chosen; {"error": why} for one that is none."""
    if not isinstance(value, Mapping) or not value.get("path"):
        return None
    known = {key: value[key] for key in ("path", "url", "name", "example") if key in value}
    try:
        path = files.given(value, session, "the file")
        return known | look(Path(str(path)))
    except UserError as error:
        return {"error": asking.named(one_line(error), str(value["path"]), str(value.get("name") or "the file"))}


def example_clips() -> dict[str, dict[str, Any]]:
    """The shipped example, as if it had been uploaded."""
    places = {"reference": EXAMPLE / "source.png", "driving": EXAMPLE / "driving.mp4"}
    return {
        key: {"path": str(path), "url": url(path), "name": path.name, "example": True} | look(path)
        for key, path in places.items()
    }


def run_one(job: Job, request: Request, files: Files, session: str) -> None:
    """A request through its stages, in a run folder; raises as `check` and `RunPlan.execute` do."""
    job.watch.clear()
    plan = check(request, job.watch, job.watch.say)
    given, context = plan.inputs, plan.context
    if not job.shows("inputs"):
        inputs_of(job, given.reference, given.driving, context.frames, context.fps, files.made(session) / job.id)
    result = plan.execute(asking.run_folder(files.runs))
    job.add(finished(plan.spec.name, result))
    del plan, result
    gc.collect()  # the weights are gone before the next job loads its own


async def transfer(
    form: Any, clips: Mapping[str, Any], files: Files, line: Line, session: str
) -> AsyncIterator[dict[str, Any]]:
    """One run, as the page shows it while it goes."""
    try:
        request = asking.request_of(form, clips, files, session)
        asking.complete(request)
    except UserError as error:
        yield refused(one_line(error))
        return

    def work(job: Job) -> None:
        try:
            run_one(job, request, files, session)
        except UserError as error:
            raise UserError(asking.with_names(one_line(error), {**clips, **asking.maps_of(form)})) from error

    async for state in follow(line, line.add(Job(str(form["method"]), work))):
        yield state


def movers() -> list[str]:
    """The methods that move the example: those that read what moves it, the quickest first."""
    cards = facts.methods()
    return [card["name"] for card in cards if {"driving", "prompt"} & {*card["needs"], *card["uses"]}]


async def example(
    files: Files, line: Line, session: str, names: list[str] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The shipped example through one method after another; one that fails is reported, the others run."""
    clips, wanted = example_clips(), names or movers()

    def work(job: Job) -> None:
        for name in wanted:
            job.show(now=name, to_come=wanted[wanted.index(name) + 1 :])
            form = {"method": name, **EXAMPLE_TEXTS}
            try:
                run_one(job, asking.request_of(form, clips, files, session), files, session)
            except UserError as error:
                job.add({"method": name, "video": None, "shown": [], "stages": {}, "reason": one_line(error)})
        job.show(now="", to_come=[])

    for name in wanted:
        registry.spec(name)  # an unknown one is said at once
    async for state in follow(line, line.add(Job("the example", work))):
        yield state
