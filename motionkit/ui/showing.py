"""What a run left, as the page shows it: the video, what the method saw, and the facts of its manifest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit import media
from motionkit.media.framing import resize
from motionkit.running.stage_runner import MANIFEST, RESULT, SHOWN
from motionkit.ui.asking import told
from motionkit.ui.files import Files, url
from motionkit.ui.work import OVER, Job, Line

if TYPE_CHECKING:
    from motionkit.media import Clip
    from motionkit.report import MethodResult
    from motionkit.transfer import Result

LARGEST = 512  # longer side of an input in its player
BEAT = 0.3  # seconds between two looks at a job
_FACTS = ("frames", "fps", "size", "seconds", "seed", "inputs_used", "remarks", "peak_memory", "config", "status")


def cell(
    name: str, folder: Path, manifest: Mapping[str, Any], counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """A run in its folder.

    Args:
        counts: frames in each picture of `shown/`; None where that is not known.
    """
    strips = sorted((folder / SHOWN).glob("*.png"))
    frames = manifest.get("frames")
    return {
        "method": name,
        "video": url(folder / RESULT) if (folder / RESULT).is_file() else None,
        "shown": [
            {"name": p.stem, "url": url(p), "frames": counts.get(p.stem) if counts else _guess(p, frames)}
            for p in strips
        ],
        "manifest": url(folder / MANIFEST) if (folder / MANIFEST).is_file() else None,
        "backbone": (manifest.get("backbone") or {}).get("name"),
        "stages": {stage: record.get("seconds") for stage, record in (manifest.get("stages") or {}).items()},
        "cached": list(manifest.get("from_cache") or ()),
        "folder": str(folder),
        "reason": manifest.get("error", ""),
    } | {key: manifest.get(key) for key in _FACTS}


def _guess(path: Path, frames: Any) -> int | None:
    """How many frames a strip holds: as many as the video, where its width can be that many squares or so."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:  # it has just been removed
        return None
    whole = isinstance(frames, int) and frames > 0 and width % frames == 0
    return frames if whole and 0.4 < width / frames / height < 2.5 else None


def finished(name: str, result: Result) -> dict[str, Any]:
    """A run that has just ended."""
    return cell(name, result.folder, result.manifest, {key: len(frames) for key, frames in result.shown.items()})


def of_entry(entry: MethodResult, fps: float, folder: Path) -> dict[str, Any]:
    """A method's part of a comparison; its video is written into `folder`, for the page alone."""
    if entry.frames is None:
        return {"method": entry.name, "video": None, "shown": [], "reason": entry.reason, "stages": {}}
    folder.mkdir(parents=True, exist_ok=True)
    media.write_video(folder / RESULT, entry.frames, fps)
    (folder / SHOWN).mkdir(exist_ok=True)
    for name, content in entry.shown.items():
        (folder / SHOWN / f"{name}.png").write_bytes(content)
    return cell(entry.name, folder, entry.manifest) | {"metrics": dict(entry.metrics), "manifest": None}


def player_of(clip: Clip | None, frames: int, fps: float, path: Path) -> str | None:
    """An input beside the result, frame by frame in step with it; the address of a video or a picture."""
    if clip is None:
        return None
    chosen = clip.frames[:1] if len(clip) == 1 else media.resample(clip, frames=frames).frames
    scale = min(1.0, LARGEST / max(clip.height, clip.width))
    height, width = max(1, round(clip.height * scale)), max(1, round(clip.width * scale))
    small = np.stack([resize(frame, height, width) for frame in chosen])  # (F, h, w, 3)
    if len(small) == 1:
        media.write_image(path.with_suffix(".png"), small[0])
        return url(path.with_suffix(".png"))
    media.write_video(path.with_suffix(".mp4"), small, fps)
    return url(path.with_suffix(".mp4"))


def inputs_of(job: Job, reference: Clip | None, driving: Clip | None, frames: int, fps: float, folder: Path) -> None:
    """Put players of both clips, and the rate, where the page finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = {"driving": driving, "reference": reference}
    players = {name: player_of(clip, frames, fps, folder / name) for name, clip in clips.items()}
    job.show(inputs={name: found for name, found in players.items() if found}, frames=frames, fps=fps)


def view(line: Line, job: Job) -> dict[str, Any]:
    """A job for the page, at one moment."""
    state, (cells, shown) = job.state, job.facts()
    going = state not in OVER
    return {
        "job": job.id,
        "title": job.title,
        "state": state,
        "ahead": line.before(job),
        "line": job.line,
        "seconds": round(job.seconds, 2),
        "stages": job.watch.facts() if going else [],
        "picture": job.watch.picture if going else "",
        "notes": list(map(told, job.watch.notes)),
        "cells": cells,
        **shown,
    }


async def follow(line: Line, job: Job) -> AsyncIterator[dict[str, Any]]:
    """The job as it goes, until it is over, whenever something changed; a browser that goes away leaves it running."""
    told: dict[str, Any] = {}
    while (state := view(line, job))["state"] not in OVER:
        if state != told:
            yield state
        told = state
        await asyncio.sleep(BEAT)
    yield state


def refused(text: str) -> dict[str, Any]:
    """What the page shows where nothing ran."""
    return {"job": None, "state": "failed", "line": text, "cells": [], "stages": [], "notes": [], "title": ""}


def run_url(files: Files, folder: Path) -> str:
    """The name of a run below the runs."""
    return str(folder.relative_to(files.runs))
