"""What the form asks for: as a `Request`, as a command, and as Python."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from motionkit import registry
from motionkit.errors import UserError
from motionkit.media.part import HOW
from motionkit.running.choices import BackboneChoice
from motionkit.running.request import Request
from motionkit.settings import named_files
from motionkit.settings.schema import shown
from motionkit.transfer import MAPS, Inputs
from motionkit.ui.facts import TEXTS
from motionkit.ui.files import Files
from motionkit.weights.hashing import hash_json

CLIPS = ("reference", "driving")
NUMBERS: dict[str, Any] = {"seed": int, "frames": int, "fps": float}
CALLED = {"reference": "a character (reference)", "driving": "a motion (driving)"}


def request_of(form: Any, clips: Mapping[str, Any], files: Files, session: str) -> Request:
    """The request that the form and the clips stand for; nothing is read yet.

    Args:
        form: {"method", "backbone", "preset", "settings", the texts, "seed", "frames", ...}; what is empty is left out.
        clips: "reference" and "driving" and the ready-made maps, each {"path", "start", "end"} or None.

    Raises:
        UserError: a number that is none, or a file that is not this browser's.
    """
    if not isinstance(form, Mapping) or not form.get("method"):
        raise UserError("choose a method first")
    spec = registry.spec(str(form["method"]))
    clips = {**clips, **maps_of(form)}
    paths = {name: files.given(clips.get(name), session, name) for name in (*CLIPS, *MAPS)}
    texts = {name: str(form.get(name) or "").strip() for name in TEXTS}
    return Request(
        spec,
        Inputs(**{name: value for name, value in (paths | texts).items() if value}),  # type: ignore[arg-type]
        config={"name": spec.name} | allowed_settings(form, files, session),
        backbone=BackboneChoice(str(form.get("backbone") or "auto")),
        gpu=str(form.get("gpu") or "auto"),
        **_options(form),
        **_parts(clips),
    )


def told(line: str) -> str:
    """A remark on a run in the page's words: its names of the clips, and what changes the part that is used."""
    for name, shown_as in (("driving", "motion"), ("reference", "character")):
        line = f"{shown_as}:{line.removeprefix(f'{name}:')}" if line.startswith(f"{name}:") else line
    return line.replace(HOW, "the time line, Frames and Rate change that")


def complete(request: Request) -> None:
    """Refuse a request that lacks what its method needs, in the page's words. Raises: UserError."""
    assert not isinstance(request.method, str)
    there, spec = request.inputs.present(), request.method
    if gone := [CALLED.get(need.name, f"a {need.name}") for need in spec.requires if need.name not in there]:
        raise UserError(f"{spec.title} still needs {' and '.join(gone).replace('_', ' ')}")


def maps_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """The ready-made maps of a form by their names, each {"path", "name"}."""
    given = form.get("maps")
    return {name: given[name] for name in MAPS if given.get(name)} if isinstance(given, Mapping) else {}


def _called(value: Mapping[str, Any]) -> str:
    """What a file is called where the user has it."""
    return str(value["path"] if value.get("example") else value.get("name") or Path(value["path"]).name)


def settings_of(form: Mapping[str, Any], file: Callable[[Any], Any] = _called) -> dict[str, Any]:
    """The method's settings that differ from what is used anyway, nested.

    Args:
        file: what stands for a value that is a file, {"path", "name"}.

    Raises:
        UserError: what is no table, or as `file`.
    """
    given = form.get("settings") or {}
    if not isinstance(given, Mapping):
        raise UserError("settings is a table of names and values")
    preset = {"preset": str(form["preset"])} if form.get("preset") else {}
    return preset | _nested(given, file)


def allowed_settings(form: Mapping[str, Any], files: Files, session: str) -> dict[str, Any]:
    """The same with uploads at their places. Raises: UserError: a place that this browser may not name."""
    given = settings_of(form, lambda value: files.given(value, session))
    config = registry.load_object(registry.spec(str(form["method"])).config)
    named_files.check(config, given, lambda place, kind: files.may_name(place, session, kind), files.HOW)
    return given


def _nested(flat: Mapping[str, Any], file: Callable[[Any], Any]) -> dict[str, Any]:
    """Dotted names as nested tables; {"a.b": 1} is {"a": {"b": 1}}."""
    out: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = str(name).split(".")
        place = out
        for part in above:
            place = place.setdefault(part, {})
        if isinstance(value, Mapping):
            value = file(value) if "path" in value else _nested(value, file)
        place[last] = value
    return out


def _options(form: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, kind in NUMBERS.items():
        text = str(form.get(name) if form.get(name) is not None else "").strip()
        try:
            given |= {name: kind(text)} if text else {}
        except ValueError:
            raise UserError(f"{name}={text}: give a {'whole ' if kind is int else ''}number") from None
    given |= {name: str(form[name]) for name in ("size", "sampler", "loop") if form.get(name)}
    return given


def _parts(clips: Mapping[str, Any]) -> dict[str, Any]:
    """The part of each clip that is wanted, in seconds."""
    given: dict[str, Any] = {}
    for name, key in (("driving", ""), ("reference", "reference_")):
        clip = clips.get(name)
        for end in ("start", "end"):
            if isinstance(clip, Mapping) and clip.get(end) not in (None, ""):
                given[key + end] = str(clip[end])
    return given


def run_folder(runs: Path, verb: str = "transfer") -> Path:
    """A new folder for a run, named as the command line names its own."""
    return runs / verb / f"{datetime.now():%Y%m%d-%H%M%S}-{hash_json([secrets.token_hex(8)])[:8]}"


def _names(clips: Mapping[str, Any]) -> dict[str, str]:
    """What each file is called where the user has it."""
    found = {}
    for name in (*CLIPS, *MAPS):
        clip = clips.get(name)
        if isinstance(clip, Mapping) and clip.get("path"):
            found[name] = _called(clip)
    return found


def as_words(form: Mapping[str, Any], clips: Mapping[str, Any]) -> dict[str, str]:
    """The same request as a command and as Python, with the files called as the user calls them.

    Returns:
        {"command": ..., "python": ...}
    """
    method, texts = str(form.get("method") or ""), {n: str(form[n]).strip() for n in TEXTS if form.get(n)}
    files, options = _names({**clips, **maps_of(form)}), _options(form) | _parts(clips)
    options = {
        name: value for name, value in options.items() if value not in ("auto", "none") and (name, value) != ("seed", 0)
    }
    place = {name: str(form[name]) for name in ("backbone", "gpu") if form.get(name) not in (None, "", "auto")}
    settings = settings_of(form)
    words = [f"{name}={value}" for name, value in ({"method": method} | place | files | texts | options).items()]
    words += [f"method.{name}={shown(value)}" for name, value in _flat(settings)]
    command = " \\\n  ".join(["motionkit transfer", *map(shlex.quote, words)])
    loading = ", ".join([json.dumps(method), *(f"{name}={value!r}" for name, value in (place | settings).items())])
    called = ",\n    ".join(f"{name}={value!r}" for name, value in (files | texts | options).items())
    python = f"import motionkit\n\nmethod = motionkit.load({loading})\nresult = method(\n    {called},\n)\n"
    return {"command": command, "python": python + 'result.save("out.mp4")\n'}


def named(text: str, path: str, name: str) -> str:
    """An error with a file called as its user calls it."""
    return text.replace(path, name).replace(Path(path).name, name)


def with_names(text: str, clips: Mapping[str, Any]) -> str:
    """An error with every file of the form called as its user calls it."""
    for clip in clips.values():
        if isinstance(clip, Mapping) and clip.get("path"):
            text = named(text, str(clip["path"]), str(clip.get("name") or "the file"))
    return text


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for name, value in settings.items():
        out += _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else [(above + name, value)]
    return out
