"""The results of the cells: metrics with or without the truth, one grid, one page, one JSON file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit import __version__, media, metrics
from motionkit.errors import UserError
from motionkit.media.framing import resize
from motionkit.media.limits import shown
from motionkit.media.output_files import write_json, writing
from motionkit.report import MethodResult, Panel, Report, grid, write_report
from motionkit.running.canvas import CanvasInputs
from motionkit.table.compare.cell import Shared

if TYPE_CHECKING:
    from motionkit.media import Clip

REPORT, GRID, METRICS, INPUTS = "report.html", "grid.mp4", "metrics.json", "inputs"
_ASPECT_SLACK = 0.02


def place_truth(truth: Clip, placed: CanvasInputs) -> np.ndarray:
    """The true video at the number of frames and the size of the results: (F, H, W, 3) uint8.

    Raises:
        UserError: it has another shape than the reference, or it is a single picture and the results are not.
    """
    if len(truth) == 1 and placed.frames > 1:  # repeated, it would rank a method that does not move first
        raise UserError(f"truth is a single picture, but results have {placed.frames} frames: give the true video")
    box = placed.box
    height, width = (box.height, box.width) if box else (placed.height, placed.width)
    if abs(truth.width / truth.height / (width / height) - 1) > _ASPECT_SLACK:
        raise UserError(
            f"truth is {truth.width} x {truth.height}, but results have the reference's shape ({width} x {height}): "
            "give a truth of that shape"
        )
    frames = media.take(truth, media.Wanted(frames=placed.frames, fps=placed.fps)).frames
    return np.stack([resize(frame, height, width) for frame in frames])  # (F, H, W, 3)


def measured(entry: MethodResult, placed: CanvasInputs, truth: np.ndarray | None) -> MethodResult:
    """The entry with its metrics; one that failed stays as it is."""
    if entry.frames is None:
        return entry
    inputs, still = placed.inputs, None
    if inputs.reference is not None:
        whole = inputs.reference.frames[:1]
        still = (media.unletterbox(whole, placed.box) if placed.box else whole)[0]  # (H, W, 3)
    driving = inputs.driving.frames if inputs.driving else None
    return replace(entry, metrics=metrics.measure(entry.frames, driving, truth, still, inputs.prompt))


def write(folder: Path, shared: Shared, entries: Sequence[MethodResult], truth: np.ndarray | None) -> np.ndarray | None:
    """Write the page, the grid and the figures, each atomically; without any panel the page has text alone, no grid.

    Returns:
        The middle frame of the grid, (H, W, 3) uint8; None without one.

    Raises:
        UserError: the folder cannot be written.
    """
    report = _report(shared, entries, truth)
    write_json(folder / METRICS, _figures(shared, entries, truth is not None))
    write_report(folder / REPORT, report)
    shutil.rmtree(folder / INPUTS, ignore_errors=True)  # of an earlier start, which had other clips
    if not report.panels():
        with writing(folder / GRID):
            (folder / GRID).unlink(missing_ok=True)  # of an earlier start, which had something to show
        return None
    for panel in report.before:
        _keep(folder / INPUTS / panel.label, panel.frames, report.fps)
    video = grid(report.panels())
    media.write_video(folder / GRID, video, report.fps, comment="motionkit compare; AI-generated")
    return video[len(video) // 2].copy()  # a view would keep the whole grid in memory


def _keep(path: Path, frames: np.ndarray, fps: float) -> None:
    """An input as it is shown, in step with the results, beside them."""
    with writing(path.parent):
        path.parent.mkdir(exist_ok=True)
    if len(frames) == 1:
        media.write_image(path.with_suffix(".png"), frames[0])
    else:
        media.write_video(path.with_suffix(".mp4"), frames, fps)


def _report(shared: Shared, entries: Sequence[MethodResult], truth: np.ndarray | None) -> Report:
    inputs, placed = shared.request.inputs, shared.placed
    side = max(placed.box.height, placed.box.width) if placed.box else max(placed.height, placed.width)
    clips = {"driving": inputs.driving, "reference": inputs.reference}
    before = [Panel(name, _shown(clip, placed.frames, side)) for name, clip in clips.items() if clip is not None]
    request = {
        **{name: f"{shown(clip.name)} ({_length(clip)})" for name, clip in clips.items() if clip is not None},
        **{name.replace("_", " "): getattr(inputs, name) for name in ("prompt", "source_prompt", "negative_prompt")},
        "seed": str(shared.request.seed),
        "frames": str(placed.frames),
        "rate": f"{placed.fps:.4g} fps",
        "size": f"{placed.width} × {placed.height}",
    }
    after = [Panel("truth", truth)] if truth is not None else []
    title = "Motion transfer: " + ", ".join(entry.name for entry in entries)
    facts = list(metrics.facts().values())
    return Report(title, request, before, entries, placed.fps, after, _notes(shared, entries), facts)


def _length(clip: Clip) -> str:
    return "picture" if clip.is_image else f"{len(clip)} frames, {clip.duration:.3g} s"


def _shown(clip: Clip, frames: int, side: int) -> np.ndarray:
    """A clip for its panel: in step with the results and not larger; a still picture stays one frame."""
    chosen = clip.frames[:1] if len(clip) == 1 else media.resample(clip, frames=frames).frames
    scale = min(1.0, side / max(clip.height, clip.width))
    height, width = max(1, round(clip.height * scale)), max(1, round(clip.width * scale))
    return np.stack([resize(frame, height, width) for frame in chosen])  # (F, h, w, 3)


def _notes(shared: Shared, entries: Sequence[MethodResult]) -> list[str]:
    inputs = shared.request.inputs
    clips = [clip for clip in (inputs.driving, inputs.reference) if clip]
    notes = [f"{shown(clip.name)}: {note}" for clip in clips for note in clip.notes]
    judges = _judges(entries)
    if "pose" in judges:
        error = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in _stated_error().items())
        notes.append(
            "Joints are found by a small network trained on sprites only; on anything else they mean little. "
            f"Its own error on held-out characters: {error}."
        )
    if "clipscorer" in judges:
        notes.append(_about_the_clip_judge())
    return notes


def _judges(entries: Sequence[MethodResult]) -> set[str]:
    """Notes on the sprite judges behind the metrics that have a value."""
    used = {name for entry in entries for name, value in entry.metrics.items() if value is not None}
    return {judge for spec in metrics.columns() if spec.name in used for judge in spec.judges}


def _about_the_clip_judge() -> str:
    from motionkit.metrics import clipscorer

    own = clipscorer.stated_accuracy()
    return (
        "The sprite clip judge is a small network trained on sprites only: on anything else its figures mean "
        "little. Its own accuracy on held-out clips: "
        f"motion {own['motion_colour']:.0%}, kind {own['kind_colour']:.0%}; as line drawings {own['motion_lines']:.0%} "
        f"and {own['kind_lines']:.0%}."
    )


def _stated_error() -> dict[str, float]:
    from motionkit.metrics import pose

    return pose.stated_error()


def _figures(shared: Shared, entries: Sequence[MethodResult], has_truth: bool) -> dict[str, Any]:
    placed = shared.placed
    used = {name for entry in entries for name in entry.metrics}
    return {
        "motionkit": __version__,
        "seed": shared.request.seed,
        "frames": placed.frames,
        "fps": placed.fps,
        "size": {"height": placed.height, "width": placed.width},
        "truth": has_truth,
        "cells": [row(entry) for entry in entries],
        "metrics": {name: asdict(fact) for name, fact in metrics.facts().items() if name in used},
        "keypoints_measured_by": _stated_error() if "keypoint_error" in used else None,
    }


def row(entry: MethodResult) -> dict[str, Any]:
    """The entry of one method in metrics.json."""
    facts = entry.manifest
    return {
        "method": entry.name,
        "status": "failed" if entry.reason else "complete",
        "reason": entry.reason or None,
        "backbone": (facts.get("backbone") or {}).get("name"),
        "metrics": dict(entry.metrics),
        "seconds": facts.get("seconds"),
        "peak_memory": facts.get("peak_memory"),
        "inputs_used": facts.get("inputs_used"),
    }
