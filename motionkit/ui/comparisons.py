"""Comparisons for the page: ticked methods on the same clips, one after another, with the figures of the report."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.data.job_list import read_jobs
from motionkit.data.job_rows import FILES
from motionkit.data.job_rows import Job as Row
from motionkit.errors import Cancelled, UserError
from motionkit.media.output_files import staged
from motionkit.running.clips import excerpt, read
from motionkit.table.compare import Comparison, compare_jobs
from motionkit.table.compare.engine import compare_request
from motionkit.table.store import FRAMES
from motionkit.ui import asking
from motionkit.ui.files import Files, url
from motionkit.ui.showing import follow, inputs_of, of_entry, refused
from motionkit.ui.work import Job, Line, one_line
from motionkit.weights.hashing import hash_json

if TYPE_CHECKING:
    from motionkit.report import MethodResult
    from motionkit.running.request import Request

_WITHOUT = {"preset", "settings", "backbone"}  # of the form's one method


def page_of(files: Files, path: Path) -> str:
    """The address of a page below the runs, to be read in the browser."""
    return f"motionkit/page/{path.relative_to(files.runs)}"


def columns(names: set[str]) -> list[dict[str, Any]]:
    """The facts of those figures, in the report's order and words."""
    from motionkit import metrics

    return [asdict(fact) | {"legend": fact.legend} for name, fact in metrics.facts().items() if name in names]


def shared_request(form: Mapping[str, Any], clips: Mapping[str, Any], files: Files, session: str) -> Request:
    """What every method is asked; each has its own settings and backbone. Raises: UserError."""
    common = {name: value for name, value in form.items() if name not in _WITHOUT}
    return replace(asking.request_of(common, clips, files, session), method="", config=None, audio=False)


def settings_of(form: Mapping[str, Any], methods: Sequence[str], files: Files, session: str) -> dict[str, Any]:
    """The settings of the form's method, where it is one of those. Raises: UserError, as `asking.allowed_settings`."""
    given = asking.allowed_settings(form, files, session) if form.get("method") in methods else {}
    return {form["method"]: given} if given else {}


async def compare(
    asked: Any, form: Any, clips: Mapping[str, Any], files: Files, line: Line, session: str
) -> AsyncIterator[dict[str, Any]]:
    """Methods side by side, each shown as it finishes.

    Args:
        asked: {"methods": names}.
    """
    try:
        methods = [str(name) for name in (asked or {}).get("methods") or ()]
        if not methods:
            raise UserError("tick at least one method")
        request = shared_request(form, clips, files, session)
        settings = settings_of(form, methods, files, session)
    except UserError as error:
        yield refused(one_line(error))
        return

    def work(job: Job) -> None:
        whole = read(request, say=job.watch.say)
        key = hash_json({name: whole.inputs.hash_of(name) for name in whole.inputs.present()})[:8]
        folder = files.runs / "compare" / key
        done = compare_request(
            methods, whole, settings, folder, None, job.watch, _progress(job), _each(job, whole, files, session)
        )
        job.show(report=page_of(files, done.report), now="")

    async for state in follow(line, line.add(Job("comparison", work))):
        yield state


def _progress(job: Job) -> Callable[[str], None]:
    """Lines of a comparison: "[2/3] NAME" says which method runs, the others are notes."""

    def say(text: str) -> None:
        if text.startswith("["):
            job.watch.clear()
            job.show(now=text.partition("] ")[2])
        else:
            job.watch.say(text.strip())

    return say


def _each(job: Job, request: Request, files: Files, session: str) -> Callable[[MethodResult], None]:
    place = files.made(session) / job.id

    def each(entry: MethodResult) -> None:
        fps = float(entry.manifest.get("fps") or 8.0)
        if entry.frames is not None and not job.shows("inputs"):
            given = request.inputs
            inputs_of(job, given.reference, given.driving, len(entry.frames), fps, place)  # type: ignore[arg-type]
        cells, _ = job.facts()
        cells.append(of_entry(entry, fps, place / f"{len(cells)}-{entry.name}"))
        job.add(cells[-1])
        job.show(columns=columns({name for cell in cells for name in cell.get("metrics", ())}))

    return each


async def batch(asked: Any, files: Files, line: Line, session: str) -> AsyncIterator[dict[str, Any]]:
    """The jobs of a CSV file, each a comparison; the results come as a zip.

    Args:
        asked: {"files": [{"path", "name"}, ...], "methods": names}; one of the files is a CSV, which names the others.
    """
    try:
        methods = [str(name) for name in (asked or {}).get("methods") or ()]
        if not methods:
            raise UserError("tick at least one method")
        rows = rows_of((asked or {}).get("files") or (), files, session)
    except UserError as error:
        yield refused(one_line(error))
        return
    states = [{"name": row.name, "state": "failed" if row.wrong else "waiting", "line": row.wrong} for row in rows]

    def work(job: Job) -> None:
        folder = files.runs / "compare" / f"jobs-{job.id[:8]}"

        def run(row: Row, own: Path) -> Comparison:
            state = next(state for state in states if state["name"] == row.name)
            state["state"] = "running"
            job.watch.clear()
            job.show(now=row.name, rows=states)
            try:
                made = compare_row(row, methods, own, job)
            except Cancelled:
                for left in states:
                    left["state"] = "cancelled" if left["state"] in ("waiting", "running") else left["state"]
                job.show(rows=states, now="")
                raise
            except Exception as error:
                state |= {"state": "failed", "line": one_line(error)}
                job.show(rows=states)
                raise
            state |= {"state": "failed" if made.failed else "done", "report": page_of(files, made.report)}
            state["line"] = "; ".join(f"{name}: {why}" for name, why in made.failed.items())
            job.show(rows=states)
            return made

        done = compare_jobs(rows, run, folder)
        bundle = packed(folder, files.made(session) / job.id)
        job.show(index=page_of(files, done.index), zip=url(bundle), now="")

    job = Job("jobs", work)
    job.show(rows=states)
    async for state in follow(line, line.add(job)):
        yield state


def compare_row(row: Row, methods: Sequence[str], folder: Path, job: Job) -> Comparison:
    """One row's comparison in its folder."""
    from motionkit.running.request import Request
    from motionkit.transfer import MAPS, Inputs

    values = dict(row.values)
    truth = values.pop("truth", None)
    names = ("reference", "driving", "prompt", "source_prompt", "negative_prompt", *MAPS)
    inputs = Inputs(**{name: values.pop(name) for name in names if name in values})
    request = Request("", inputs, gpu="auto", audio=False, **values)
    true = excerpt(request).truth(truth) if truth else None
    return compare_request(methods, read(request), {}, folder, true, job.watch)


def rows_of(given: Sequence[Any], files: Files, session: str) -> list[Row]:
    """The jobs of the one CSV file among uploaded files; its clips are other uploads, or what this browser may name.

    Raises:
        UserError: no CSV file, or one that cannot be read.
    """
    sent = {str(item.get("name")): files.given(item, session) for item in given if isinstance(item, Mapping)}
    tables = [name for name in sent if name.lower().endswith(".csv")]
    if len(tables) != 1:
        raise UserError("choose one CSV file, and beside it the clips that it names")
    table = Path(str(sent[tables[0]]))
    try:
        return [_placed(row, table.parent, sent, files, session) for row in read_jobs(table)]
    except UserError as error:
        raise UserError(one_line(error).replace(str(table), tables[0])) from error


def _placed(row: Row, base: Path, sent: Mapping[str, str | None], files: Files, session: str) -> Row:
    values = dict(row.values)
    for key in FILES:
        if key not in values:
            continue
        path = Path(values[key])
        if path.name in sent:
            values[key] = sent[path.name]
        elif here := files.found(path.relative_to(base) if path.is_relative_to(base) else path, session):
            values[key] = str(here)
        else:
            return Row(row.name, wrong=f"{key}={path.name} was not chosen beside the CSV file: choose it too")
    return Row(row.name, values, row.wrong)


def packed(folder: Path, place: Path) -> Path:
    """The folder as a zip, without the frames that lie beside each video."""
    place.mkdir(parents=True, exist_ok=True)
    with staged(place / "results.zip") as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as bundle:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.parent.name != FRAMES:
                bundle.write(path, path.relative_to(folder))
    return place / "results.zip"
