"""What a method is given besides its inputs: sizes, seeded randomness, progress, and places to keep things."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from motionkit.errors import Cancelled
from motionkit.weights.hashing import seed_from

if TYPE_CHECKING:
    import numpy as np
    import torch

    from motionkit.settings.gpu import Plan
    from motionkit.transfer import Tensors


class Progress(Protocol):
    """What a run tells its watcher. `done` counts finished steps of `total`, and never falls within a stage.

    A watcher with an attribute `previews`, a number of seconds, gets at most so often a small picture of the clip as it
    is denoised: frames evenly spread, side by side.
    """

    def start(self, stage: str, total: int) -> None:
        """A stage begins."""

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """`done` steps are finished; preview is an optional (H, W, 3) uint8 picture."""

    def end(self, stage: str) -> None:
        """The stage is over."""

    def cancelled(self) -> bool:
        """Whether the watcher wants the run to stop."""
        return False


class NullProgress:
    """Shows nothing and never cancels."""

    def start(self, stage: str, total: int) -> None:
        """Nothing."""

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Nothing."""

    def end(self, stage: str) -> None:
        """Nothing."""

    def cancelled(self) -> bool:
        """Never."""
        return False


class Reporter:
    """What a method sees of a `Progress`: the same calls kept in order, and `tick`, which also cancels."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.picture: Any = None  # of the clip as it is now; goes out with the next step
        self._open: dict[str, int] = {}

    @property
    def previews(self) -> float | None:
        """Seconds between two pictures of the clip, or None where the watcher wants none."""
        return getattr(self.progress, "previews", None)

    def start(self, stage: str, total: int) -> None:
        """Begin a stage; beginning it again ends the first one."""
        self.end(stage)
        self._open[stage] = 0
        self.progress.start(stage, total)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Report finished steps; a number that falls is left out."""
        if done >= self._open.get(stage, 0):
            self._open[stage] = done
            made, self.picture = self.picture, None
            self.progress.step(stage, done, made if preview is None else preview)

    def end(self, stage: str) -> None:
        """End a stage, if it is open."""
        if self._open.pop(stage, None) is not None:
            self.progress.end(stage)

    def cancelled(self) -> bool:
        """Whether the watcher wants the run to stop."""
        return self.progress.cancelled()

    def tick(self, stage: str, done: int, total: int, preview: Any = None) -> None:
        """Begin `stage` when it is new, report `done` of `total` steps, end it with the last one.

        Raises:
            Cancelled: the watcher wants the run to stop.
        """
        self.check()
        if stage not in self._open:
            self.start(stage, total)
        self.step(stage, done, preview)
        if done >= total:
            self.end(stage)

    def check(self) -> None:
        """Stop here if the watcher wants it.

        Raises:
            Cancelled: the watcher wants the run to stop.
        """
        if self.cancelled():
            raise Cancelled("cancelled")

    def close(self) -> None:
        """End every stage that is still open."""
        for stage in list(self._open):
            self.end(stage)


class Checkpoint(Protocol):
    """A place where a long step keeps its state, so that a killed run goes on where it was."""

    def load(self) -> Tensors | None:
        """The state that was saved last under this step's key, or None."""

    def save(self, tensors: Tensors) -> None:
        """Keep a state, atomically, in place of the one before."""


class NoCheckpoint:
    """Keeps nothing: what a run without cache gets."""

    def load(self) -> Tensors | None:
        """Never anything."""
        return None

    def save(self, tensors: Tensors) -> None:
        """Nothing."""


@dataclass
class RunContext:
    """One run, as a method sees it.

    Attributes:
        frames, height, width, fps: the size of the video that `generate` returns.
        plan: the effective memory plan; `device` and `dtype` come from it.
        progress: call `progress.tick(stage, done, total)` in every long loop; it also cancels.
        folder: the run's folder; write nothing outside it.
        sampler: the name of the sampler that was asked for, for `motionkit.diffusion.samplers.make_sampler`.
        matte: (frames, height, width) uint8, how much of each pixel of the result is the subject; a method whose spec
            says that it `mattes` sets it in `generate`.
    """

    seed: int
    frames: int
    height: int
    width: int
    fps: float
    plan: Plan
    folder: Path
    progress: Reporter = field(default_factory=lambda: Reporter(NullProgress()))
    checkpoints: Callable[[str], Checkpoint] = lambda stage: NoCheckpoint()
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    sampler: str = "auto"
    matte: np.ndarray | None = None

    @property
    def device(self) -> str:
        """The device that the plan computes on."""
        return self.plan.device

    @property
    def dtype(self) -> torch.dtype:
        """The type that the plan computes in."""
        import torch

        return getattr(torch, self.plan.dtype)

    def generator(self, name: str, device: str = "cpu") -> torch.Generator:
        """A generator of its own for one named use; noise made on the CPU is the same on every machine."""
        import torch

        return torch.Generator(device).manual_seed(seed_from(self.seed, name))

    def show(self, name: str, frames: np.ndarray) -> None:
        """Keep pictures (F, H, W, 3) uint8 for the report, under a short name of letters, digits, "-" and "_"."""
        if frames.dtype != "uint8" or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"show({name!r}) needs (F, H, W, 3) uint8, not {frames.shape} {frames.dtype}")
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise ValueError(f"show: {name!r} is not a short name")
        self.shown[name] = frames

    def note(self, key: str, value: Any) -> None:
        """Put a value into the manifest; raises TypeError, here and not after the stage, when JSON cannot hold it."""
        json.dumps(value)
        self.notes[key] = value

    @contextmanager
    def collect(self) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
        """The pictures and notes made inside the block; they join the others when it ends."""
        before = self.shown, self.notes
        self.shown, self.notes = {}, {}
        try:
            yield self.shown, self.notes
        finally:
            self.shown, self.notes = before[0] | self.shown, before[1] | self.notes

    def scratch(self) -> Path:
        """A folder inside the run folder for files of the method's own."""
        path = self.folder / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def checkpoint(self, stage: str) -> Checkpoint:
        """Where `stage` ("fit", or "fit:part" for several in one stage) keeps its state."""
        return self.checkpoints(stage)
