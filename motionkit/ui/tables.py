"""Tables of results.json, and the blind study, for the page."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motionkit.errors import UserError
from motionkit.table import study
from motionkit.ui.comparisons import page_of
from motionkit.ui.files import Files, url
from motionkit.ui.gallery import newest
from motionkit.ui.work import one_line

MOST = 50  # tables that are listed
_PLACES = ("bench/**/results*.json", "results*.json")


def benches(files: Files) -> list[dict[str, Any]]:
    """Every table below the runs, the newest first."""
    paths = {path for place in _PLACES for path in files.runs.glob(place)}
    found = []
    for path in newest(paths)[:MOST]:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            found.append(_table(files, path, facts))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # another program's file of that name
    return found


def _table(files: Files, path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    protocol, page = facts["protocol"], path.with_suffix(".html")
    seeds = _seeds(protocol["seeds"])
    rows = [
        {key: row.get(key) for key in ("label", "method", "backbone", "refused", "figures", "costs", "failed", "cells")}
        for row in facts["rows"]
    ]
    return {
        "name": str(path.parent.relative_to(files.runs)),
        "title": " · ".join([protocol["name"], f"{protocol['pairs']} cases", f"{protocol['size']} px", seeds]),
        "columns": list(facts["columns"].values()),
        "rows": rows,
        "page": page_of(files, page) if page.is_file() else None,
    }


def _seeds(seeds: Any) -> str:
    """One or several seeds, in words."""
    every = seeds if isinstance(seeds, list) else [seeds]
    return f"seed{'s' if len(every) > 1 else ''} {', '.join(map(str, every))}"


def comparisons(files: Files) -> list[dict[str, Any]]:
    """Comparisons of which a study can be made: name and methods."""
    found = []
    folders = {path.parent for path in files.runs.glob("compare/*/cells")} | {
        path.parent.parent.parent for path in files.runs.glob("compare/*/jobs/*/cells")
    }
    for folder in newest(folders)[:MOST]:
        try:
            cases = study.cases([folder])
        except UserError:
            continue
        methods = sorted({method for case in cases for method in case.videos})
        found.append({"name": str(folder.relative_to(files.runs)), "cases": len(cases), "methods": methods})
    return found


def begin(files: Files, names: Any, session: str) -> dict[str, Any]:
    """A study of those comparisons: pairs whose files do not say what they are; {"error": why} where there is none."""
    if not names:
        return {"error": "tick at least one comparison"}
    try:
        folders = [_comparison(files, name) for name in names or ()]
        every = study.cases(folders)
    except UserError as error:
        return {"error": one_line(error)}
    chosen, name = study.pairs(every), secrets.token_hex(6)
    place, kept = files.made(session) / f"study-{name}", files.runs / "study" / name
    place.mkdir(parents=True)
    study.write_key(kept / study.KEY, name, chosen)
    known = {case.name: case for case in every}
    shown = [
        {"id": pair.id, "question": question, "turned": secrets.randbelow(2) == 1}
        | _copied(place, pair, known[pair.case])
        for pair in chosen
        for question in study.QUESTIONS
    ]
    secrets.SystemRandom().shuffle(shown)
    return {"study": name, "pairs": shown, "questions": study.QUESTIONS, "folder": f"{files.runs.name}/study/{name}"}


def _comparison(files: Files, name: Any) -> Path:
    folder = files.below(name)
    if folder is None or not folder.is_relative_to(files.runs / "compare") or not folder.is_dir():
        raise UserError("there is no such comparison any more: look again")
    return folder


def _copied(place: Path, pair: study.Pair, case: study.Case) -> dict[str, Any]:
    out: dict[str, Any] = {"inputs": {}}
    for side in study.SIDES:
        path = place / f"{pair.id}-{side}.mp4"
        shutil.copyfile(case.videos[getattr(pair, side)], path)
        out[side] = url(path)
    for name, source in case.inputs.items():
        path = place / f"{pair.id}-{name}{source.suffix}"
        shutil.copyfile(source, path)
        out["inputs"][name] = url(path)
    return out


def vote(files: Files, said: Any) -> dict[str, Any]:
    """Keep a vote, {"study", "pair", "question", "choice", "voter"}, and return the rates so far.

    Raises:
        UserError: no such study, or a vote that is none of it.
    """
    name = str((said or {}).get("study"))
    if not name.isalnum() or not (files.runs / "study" / name / study.KEY).is_file():
        raise UserError("there is no such study any more: begin again")
    folder = files.runs / "study" / name
    _, key = study.read_key(folder / study.KEY)
    one = {column: str(said.get(column, ""))[:64] for column in study.COLUMNS}
    study.rates([one], key)  # refuses what is no vote of this study
    if not one["voter"].isalnum():  # a spreadsheet takes other text for a formula
        raise UserError("a voter has a name of letters and digits: load the page again")
    study.add_vote(folder / study.VOTES, one)
    return {"rates": [rate._asdict() for rate in study.rates(study.read_votes([folder / study.VOTES], name), key)]}


def page_file(files: Files, name: str) -> Path | None:
    """A page of a run that may be read in the browser, or None."""
    path = files.below(name)
    if path is None or path.suffix != ".html" or not path.is_file():
        return None
    return None if any(part.startswith(".") for part in path.relative_to(files.runs).parts) else path
