"""Ready-made maps (masks, depth, poses, ...) and marks on the first frame: files of this browser, looked at once."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from motionkit import media
from motionkit.errors import UserError
from motionkit.media.arrays import read_arrays
from motionkit.media.limits import Limits
from motionkit.running.choices import choose
from motionkit.transfer import MAPS
from motionkit.ui import ahead, asking
from motionkit.ui.files import Files
from motionkit.ui.looking import jpeg, small
from motionkit.ui.work import one_line

MOST = 2000  # files of one map
LONGEST_JSON = 64 * 2**20  # bytes
ARRAYS = (".npy", ".npz")


def gathered(asked: Any, files: Files, session: str) -> dict[str, Any]:
    """One map of one or several uploaded files; several become a folder.

    Args:
        asked: {"name": one of `MAPS`, "files": [{"path", "name"}, ...]}.

    Returns:
        {"path", "name": as its user calls it, "about": what it is, "still": of pictures}; {"error": one line}.
    """
    asked = asked if isinstance(asked, Mapping) else {}
    given = [item for item in asked.get("files") or () if isinstance(item, Mapping)]
    try:
        if asked.get("name") not in MAPS:
            raise UserError("there is no such map")
        if not 0 < len(given) <= MOST:
            raise UserError(f"choose up to {MOST} files")
        sent = [(Path(str(files.given(item, session))), str(item.get("name") or "file")) for item in given]
        path = sent[0][0] if len(sent) == 1 else _folder(sent, files.made(session) / "maps")
        name = sent[0][1] if len(sent) == 1 else str(asked["name"])
        return {"path": str(path), "name": name} | _look(path, [called for _, called in sent])
    except UserError as error:
        return {"error": asking.with_names(one_line(error), {str(i): item for i, item in enumerate(given)})}


def _folder(sent: Sequence[tuple[Path, str]], place: Path) -> Path:
    folder = place / secrets.token_hex(8)
    folder.mkdir(parents=True)
    for path, called in sent:
        target = folder / Path(called.replace("\\", "/")).name
        if target.name.startswith(".") or target.exists():
            raise UserError(f"{called}: each file of a map needs a name of its own")
        shutil.copyfile(path, target)
    return folder


def _look(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """What a map is, in words; that it suits the clip is said before the run. Raises: UserError: it cannot be read."""
    kinds = {Path(name).suffix.lower() for name in names}
    if kinds & {*ARRAYS}:
        return {"about": _arrays(path)}
    if kinds == {".json"}:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            _json(file)
        return {"about": f"{len(names)} JSON file{'s' if len(names) > 1 else ''}"}
    clip = media.read_clip(path)
    frames = "1 picture" if clip.is_image else f"{len(clip)} frames"
    return {"about": f"{frames} of {clip.width} × {clip.height}", "still": jpeg(small(clip.frames[0]))}


def _arrays(path: Path) -> str:
    if path.is_dir():
        raise UserError("give one array file, not several")
    Limits().check_file(path)
    try:
        found = read_arrays(path, Limits().max_memory)
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name}: is no usable array file ({one_line(error)})") from error
    return ", ".join(f"{name} {' × '.join(map(str, array.shape))}".strip() for name, array in found.items())


def _json(path: Path) -> None:
    if path.stat().st_size > LONGEST_JSON:
        raise UserError(f"{path.name}: {path.stat().st_size >> 20} MiB is too much for poses")
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path.name}: is no JSON file") from error


def first_frame(form: Any, clips: Mapping[str, Any], files: Files, session: str) -> dict[str, Any]:
    """Frame 0 of the driving clip as a method sees it, to mark something on it: at the working size, in its part.

    Returns:
        {"picture": a data: address, "width", "height"}, or {"error": one line}.
    """
    try:
        request = asking.request_of(form, clips, files, session)
        if request.inputs.driving is None:
            raise UserError("choose the motion clip first")
        request = replace(request, inputs=replace(request.inputs, **dict[str, Any](dict.fromkeys(MAPS))))
        canvas = ahead.placed(request, choose(request))
        assert canvas.inputs.driving is not None
        frame = canvas.inputs.driving.frames[0]
        return {"picture": jpeg(frame), "width": int(frame.shape[1]), "height": int(frame.shape[0])}
    except UserError as error:
        return {"error": asking.with_names(one_line(error), clips)}
