"""One method on the request: run it, or read it back when an earlier start has finished it.

A cell's folder is named by a hash of everything that its video depends on, and holds what a run leaves (result.mp4,
manifest.json, shown/) and the frames without loss, from which figures are taken.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motionkit import __version__, media
from motionkit.backbones.lora_files import LoraOptions
from motionkit.backbones.motion_files import MotionOptions
from motionkit.context import Progress, RunContext
from motionkit.errors import Cancelled, UserError
from motionkit.registry import load_object
from motionkit.report import Entry
from motionkit.running.canvas import Fitted
from motionkit.running.execute import execute, plan_for
from motionkit.running.lazy_backbone import LazyBackbone, choose_backbone
from motionkit.running.stage_runner import MANIFEST, SHOWN
from motionkit.settings.setting import plain
from motionkit.transfer import Inputs, MethodSpec, Result
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
        inputs: as the user gave them.
        fitted: the same at the working size, which fixes frames, size and rate for every cell.
        backbone, backbone_path, online, gpu, seed, motion, lora: as in `motionkit.running.execute.execute`.
    """

    inputs: Inputs
    fitted: Fitted
    backbone: str | None = None
    backbone_path: str | None = None
    online: bool = False
    gpu: Any = "cpu"
    seed: int = 0
    motion: MotionOptions | None = None
    lora: LoraOptions | None = None


@dataclass(frozen=True)
class Cell:
    """A method with its settings on the shared request; `root` is the folder of all cells."""

    spec: MethodSpec
    settings: Any
    shared: Shared
    root: Path

    def entry(self, progress: Progress | None = None, use_cache: bool = True) -> Entry:
        """The cell's part of the report; a failure becomes its reason, and never an exception.

        Raises:
            Cancelled: the user stopped the run.
        """
        folder: Path | None = None
        try:
            folder = self.folder()
            if is_finished(folder):
                with contextlib.suppress(UserError, OSError):  # a frame that was damaged since: made again
                    return self._read(folder)
            self._run(folder, progress, use_cache)
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

    def folder(self) -> Path:
        """Where this cell lies.

        Raises:
            UserError: it cannot run: an input or weights are missing, or the backbone does not fit.
        """
        return self.root / f"{self.spec.name}-{hash_json(self._identity())[:12]}"

    def _identity(self) -> dict[str, Any]:
        """Everything that the video depends on; inputs that the method does not read are no part of it."""
        spec, inputs = self.spec, self.shared.inputs
        spec.check_inputs(inputs)
        given = {key: inputs.hash_of(key) for key in spec.used(inputs)}
        return configuration(spec, self.settings, self.shared, self.root) | {"inputs": given}

    def _run(self, folder: Path, progress: Progress | None, use_cache: bool) -> None:
        result = run_into(folder, self.spec, self.settings, self.shared, progress, use_cache)
        media.write_frames(folder / FRAMES, result.frames)  # last: a cell is finished when they are there

    def _read(self, folder: Path) -> Entry:
        shown = {path.stem: path.read_bytes() for path in sorted((folder / SHOWN).glob("*.png"))}
        return Entry(self.spec.name, read_manifest(folder), read_frames(folder), shown=shown)

    def _failed(self, folder: Path | None, reason: str) -> Entry:
        return Entry(self.spec.name, read_manifest(folder) if folder else {}, reason=reason)


def configuration(spec: MethodSpec, settings: Any, shared: Shared, root: Path) -> dict[str, Any]:
    """Everything but the inputs that a method's video depends on: versions, settings, weights, precision, seed, size.

    Raises:
        UserError: it cannot run: weights are missing, the backbone does not fit, or the clip is too long for it.
    """
    fitted = shared.fitted
    name = choose_backbone(spec, shared.backbone)
    plan = plan_for(shared.gpu, name)
    given = (shared.backbone_path, shared.online, shared.motion, shared.lora)
    handle = LazyBackbone(name, plan, *given) if name else None
    if handle:
        handle.check_frames(fitted.frames)
    run = RunContext(shared.seed, fitted.frames, fitted.height, fitted.width, fitted.fps, plan, root)
    transfer = load_object(spec.transfer)(settings, handle, run)
    if fitted.inputs.present():  # ready-made maps and poses need no estimator's weights
        transfer.check(fitted.inputs)
    weights = transfer.weights()
    return {
        "motionkit": __version__,
        "method": (spec.name, spec.version),
        "settings": plain(settings),
        "backbone": (name, handle.fingerprint()) if handle else None,
        "weights": {key: hash_path(path) for key, path in sorted(weights.items())},
        "computed in": (plan.device, plan.dtype, plan.autocast),
        "seed": shared.seed,
        "size": (fitted.frames, fitted.height, fitted.width, fitted.fps),
    }


def run_into(
    folder: Path,
    spec: MethodSpec,
    settings: Any,
    shared: Shared,
    progress: Progress | None = None,
    use_cache: bool = True,
) -> Result:
    """Run a method on the shared request, into a folder; raises as `motionkit.running.execute.execute`."""
    fitted = shared.fitted
    return execute(
        spec,
        shared.inputs,
        config=settings,
        backbone=shared.backbone,
        backbone_path=shared.backbone_path,
        online=shared.online,
        motion=shared.motion,
        lora=shared.lora,
        gpu=shared.gpu,
        seed=shared.seed,
        frames=fitted.frames,
        size=(fitted.height, fitted.width),
        fps=fitted.fps,
        folder=folder,
        progress=progress,
        use_cache=use_cache,
        common=True,
    )


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
