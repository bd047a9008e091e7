"""Finished cells: a folder for each, named by the hash of all that its video depends on, made once and read back.

A folder holds what a run leaves (result.mp4, manifest.json, shown/) and the frames without loss, from which figures
are taken. `motionkit.table.compare` and `motionkit.table.bench` both keep their cells here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motionkit import __version__, media
from motionkit.errors import Cancelled, UserError, told
from motionkit.media.output_files import writing
from motionkit.running.request import RunPlan
from motionkit.running.stage_runner import MANIFEST, SHOWN
from motionkit.settings.setting import plain
from motionkit.transfer import Result
from motionkit.weights.hashing import hash_path

CELLS, FRAMES, TRACE, LOCK = "cells", "frames", "error.txt", "cell.lock"
STOPPED = "cancelled; finished cells are kept, and the same command resumes"
UNBOUNDED = media.Limits(  # our own frames are read back unchanged, however many
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
_HELD = (errno.EAGAIN, errno.EACCES)  # error numbers of a lock that another process holds


@dataclass(frozen=True)
class CellFolder:
    """One cell on disk."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether its run has finished and all of its frames are there."""
        facts, frames = self.manifest(), self.path / FRAMES
        if facts.get("status") != "complete" or not frames.is_dir():
            return False
        return len(list(frames.glob("*.png"))) == facts.get("frames")

    def manifest(self) -> dict[str, Any]:
        """The manifest of its run; {} when there is none that can be read."""
        return read_json(self.path / MANIFEST)

    def frames(self) -> np.ndarray:
        """The frames of a finished cell without loss, (F, H, W, 3) uint8."""
        return media.read_clip(self.path / FRAMES, UNBOUNDED).frames

    def shown(self) -> dict[str, bytes]:
        """The pictures that the run left beside its video: name -> PNG."""
        return {path.stem: path.read_bytes() for path in sorted((self.path / SHOWN).glob("*.png"))}

    def run(self, plan: RunPlan) -> Result:
        """Execute the plan in this folder; errors as of `RunPlan.execute`."""
        (self.path / TRACE).unlink(missing_ok=True)
        shutil.rmtree(self.path / FRAMES, ignore_errors=True)
        return plan.execute(self.path)

    def keep(self, result: Result) -> None:
        """Write the frames without loss, which makes the cell a finished one."""
        media.write_frames(self.path / FRAMES, result.frames)

    @contextlib.contextmanager
    def alone(self, wait: bool = True) -> Iterator[bool]:
        """Hold the folder against other processes and threads; yields whether it is held.

        The lock is the operating system's and ends with its process; where there is none (Windows, some file systems
        of clusters), nothing is held and every caller continues.

        Args:
            wait: until whoever holds it has ended; otherwise yield False at once.
        """
        try:
            import fcntl
        except ImportError:
            yield True
            return
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / LOCK).open("w")
        with file:
            held = True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:  # another holds it, or the file system knows no locks
                held = error.errno not in _HELD
            yield held

    @property
    def is_busy(self) -> bool:
        """Whether another process is at work here, at this moment."""
        if not (self.path / LOCK).is_file():
            return False
        with self.alone(wait=False) as free:
            return not free


def reason_of(error: BaseException, folder: CellFolder | None = None) -> str:
    """Why a cell failed, in one line; the traceback of an internal error is kept in its folder.

    Raises:
        Cancelled: the user stopped it.
    """
    if isinstance(error, Cancelled | KeyboardInterrupt):
        raise Cancelled(STOPPED) from None
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    reason = told(error)
    if folder is None:
        return reason
    folder.path.mkdir(parents=True, exist_ok=True)
    trace = "".join(traceback.format_exception(error))
    (folder.path / TRACE).write_text(trace, encoding="utf-8", errors="backslashreplace")
    return f"{reason} (an internal error: see {folder.path.name}/{TRACE})"


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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that was kept; {} when it is not there or cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
