"""One method on the request: run it, or read it back when an earlier start has finished it.

A cell's folder is named by a hash of everything that its video depends on, and holds what a run leaves (result.mp4,
manifest.json, shown/) and the frames without loss, from which figures are taken.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from motionkit import __version__, media
from motionkit.context import Progress
from motionkit.errors import Cancelled, UserError
from motionkit.report import MethodResult as Entry
from motionkit.running.canvas import CanvasInputs as Fitted
from motionkit.running.request import Request, RunPlan, check
from motionkit.running.stage_runner import MANIFEST, SHOWN
from motionkit.settings.setting import plain
from motionkit.transfer import MethodSpec
from motionkit.weights.hashing import hash_json, hash_path

FRAMES, ERROR = "frames", "error.txt"
UNBOUNDED = media.Limits(  # our own frames come back as they are, however many
    max_bytes=sys.maxsize,
    max_pixels=2**31 - 1,
    max_frames=sys.maxsize,
    max_seconds=float("inf"),
    max_memory=sys.maxsize,
    longest_side=2**16,
    max_picture=sys.maxsize,
    max_work=sys.maxsize,
    max_drawn=sys.maxsize,
)


@dataclass(frozen=True)
class Shared:
    """What all cells of a comparison have in common.

    Attributes:
        request: what each method is asked, with the size, rate and number of frames of `fitted`; method and settings
            are the cell's own.
        fitted: the inputs at the common working size.
    """

    request: Request
    fitted: Fitted


@dataclass(frozen=True)
class Cell:
    """A method with its settings on the shared request; `root` is the folder of all cells."""

    spec: MethodSpec
    settings: Any
    shared: Shared
    root: Path

    def entry(self, progress: Progress | None = None) -> Entry:
        """The cell's part of the report; a failure becomes its reason, and never an exception.

        Raises:
            Cancelled: the user stopped the run.
        """
        folder: Path | None = None
        try:
            plan = check(self.request, progress)
            folder = self.folder(plan)
            if is_finished(folder):
                with contextlib.suppress(UserError, OSError):  # a frame that was damaged since: made again
                    return self._read(folder)
            made = plan.execute(folder)
            media.write_frames(folder / FRAMES, made.frames)  # last: a cell is finished when they are there
            return self._read(folder)
        except (Cancelled, KeyboardInterrupt):
            raise Cancelled("cancelled; finished cells are kept, and the same command goes on from here") from None
        except UserError as error:
            return self._failed(folder, " ".join(str(error).split()))
        except (Exception, SystemExit) as error:  # whatever one method does, the others shall run
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / ERROR).write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
                reason += f" (a defect: see {folder.name}/{ERROR})"
            return self._failed(folder, reason)

    @property
    def request(self) -> Request:
        """What this method is asked."""
        return replace(self.shared.request, method=self.spec, config=self.settings)

    def folder(self, plan: RunPlan) -> Path:
        """Where this cell lies: everything that the video depends on, but no input that the method does not read."""
        given = {key: plan.inputs.hash_of(key) for key in self.spec.used(plan.inputs)}
        return self.root / f"{self.spec.name}-{hash_json(configuration(plan) | {'inputs': given})[:12]}"

    def _read(self, folder: Path) -> Entry:
        shown = {path.stem: path.read_bytes() for path in sorted((folder / SHOWN).glob("*.png"))}
        return Entry(self.spec.name, read_manifest(folder), read_frames(folder), shown=shown)

    def _failed(self, folder: Path | None, reason: str) -> Entry:
        return Entry(self.spec.name, read_manifest(folder) if folder else {}, reason=reason)


def configuration(plan: RunPlan) -> dict[str, Any]:
    """Everything but the inputs that a video depends on: versions, settings, weights, precision, seed, size."""
    run, memory, backbone = plan.context, plan.memory, plan.backbone
    own = backbone is None or run.sampler == backbone.spec.sampler
    return ({} if own else {"sampler": run.sampler}) | {
        "motionkit": __version__,
        "method": (plan.spec.name, plan.spec.version),
        "settings": plain(plan.settings),
        "backbone": (backbone.spec.name, backbone.fingerprint()) if backbone else None,
        "weights": {key: hash_path(path) for key, path in sorted(plan.transfer.weights().items())},
        "computed in": (memory.device, memory.dtype, memory.autocast),
        "seed": run.seed,
        "size": (run.frames, run.height, run.width, run.fps),
    }


def is_finished(folder: Path) -> bool:
    """Whether a cell's run was completed and all of its frames are on disk."""
    facts = read_manifest(folder)
    if facts.get("status") != "complete" or not (folder / FRAMES).is_dir():
        return False
    return len(list((folder / FRAMES).glob("*.png"))) == facts.get("frames")


def read_frames(folder: Path) -> np.ndarray:
    """The frames of a finished cell without loss, (F, H, W, 3) uint8."""
    return media.read_clip(folder / FRAMES, UNBOUNDED).frames


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a cell's run says of itself; {} when there is none that can be read."""
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
