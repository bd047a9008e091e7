"""Past runs, from their manifests: looked at, made again with changes, and deleted."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from motionkit import registry
from motionkit.errors import UserError
from motionkit.running.stage_runner import MANIFEST, RESULT
from motionkit.settings.schema import facts
from motionkit.ui.files import GONE, Files, url
from motionkit.ui.showing import cell

MOST = 300  # runs that are listed
PLACES = ("transfer/*", "transfer/*/*", "compare/*/cells/*", "compare/*/jobs/*/cells/*")
_TEXTS = ("prompt", "source_prompt", "negative_prompt")


def runs(files: Files) -> list[dict[str, Any]]:
    """What the gallery shows of each run, the newest first."""
    return [_short(files, folder, facts) for folder, facts in found(files)]


def found(files: Files) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and manifest of each run, the newest first."""
    for path in newest(path for place in PLACES for path in files.runs.glob(f"{place}/{MANIFEST}"))[:MOST]:
        if facts := _manifest(path):
            yield path.parent, facts


def newest(paths: Iterable[Path]) -> list[Path]:
    """Those that are still there, the newest first; another process may remove one at any time."""
    times = {}
    for path in paths:
        with contextlib.suppress(OSError):
            times[path] = path.stat().st_mtime
    return sorted(times, key=lambda path: times[path], reverse=True)


def _manifest(path: Path) -> dict[str, Any]:
    """A manifest that names its method; {} where it is gone, or is another program's."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    method = read.get("method") if isinstance(read, dict) else None
    return read if isinstance(method, dict) and method.get("name") else {}


def _of(files: Files, name: Any) -> tuple[Path, dict[str, Any]]:
    """A run's folder and manifest. Raises: UserError: it is gone, or is none."""
    folder = files.run(name)
    if not (manifest := _manifest(folder / MANIFEST)):
        raise UserError(GONE)
    return folder, manifest


def _short(files: Files, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    inputs = manifest.get("inputs") or {}
    return {
        "name": str(folder.relative_to(files.runs)),
        "method": manifest["method"].get("name"),
        "backbone": (manifest.get("backbone") or {}).get("name"),
        "status": manifest.get("status"),
        "started": manifest.get("started"),
        "seconds": manifest.get("seconds"),
        "error": manifest.get("error", ""),
        "prompt": (inputs.get("prompt") or {}).get("text", ""),
        "clips": [inputs[name].get("name") for name in ("reference", "driving") if name in inputs],
        "video": url(folder / RESULT) if (folder / RESULT).is_file() else None,
        "removable": folder.is_relative_to(files.runs / "transfer"),
    }


def opened(files: Files, name: Any) -> dict[str, Any]:
    """A run as the result of a job that is over. Raises: UserError: there is no such run."""
    folder, manifest = _of(files, name)
    made = cell(str(manifest["method"]["name"]), folder, manifest)
    state = {"complete": "done", "cancelled": "cancelled"}.get(str(manifest.get("status")), "failed")
    head = {
        "job": None,
        "title": str(name),
        "state": state,
        "line": manifest.get("error", ""),
        "stages": [],
        "notes": [],
    }
    return head | {
        "cells": [made],
        "frames": manifest.get("frames"),
        "fps": manifest.get("fps"),
        "seconds": 0,
        "inputs": {},
    }


def form_of(files: Files, name: Any) -> dict[str, Any]:
    """The form that asks for a run again; its clips have to be chosen by the user. Raises: UserError."""
    _, manifest = _of(files, name)
    method, backbone = str(manifest["method"]["name"]), (manifest.get("backbone") or {}).get("name")
    spec, inputs = registry.spec(method), manifest.get("inputs") or {}
    config = dict(manifest.get("config") or {})
    preset = config.pop("preset", None)
    usual = {fact.name: fact.value for fact in facts(registry.settings_class(spec), backbone, preset)}
    differs = {key: value for key, value in _flat(config).items() if key in usual and _plain(usual[key]) != value}
    differs.pop("name", None)
    size = manifest.get("size") or {}
    return {
        "method": method,
        "backbone": backbone or "",
        "preset": preset or "",
        "settings": differs,
        **{text: (inputs.get(text) or {}).get("text", "") for text in _TEXTS},
        "seed": str(manifest.get("seed") or ""),
        "frames": str(manifest.get("frames") or ""),
        "size": f"{size['width']}x{size['height']}" if size else "",
        "clips": [inputs[clip].get("name") for clip in ("reference", "driving") if clip in inputs],
    }


def _flat(config: dict[str, Any], above: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return out


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def delete(files: Files, name: Any) -> None:
    """Remove a run of `transfer`. Raises: UserError for anything else."""
    folder = files.run(name)
    if files.runs / "transfer" not in folder.parents:
        raise UserError("a method's part of a comparison is not deleted by itself")
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise UserError("that run could not be removed from the folder of runs: look at who may write there")
