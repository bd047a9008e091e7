"""What a method is given besides its inputs: sizes, random generators, progress, and folders for its files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from motionkit.errors import Cancelled, UserError
from motionkit.weights.hashing import seed_from

if TYPE_CHECKING:
    import numpy as np
    import torch

    from motionkit.settings.gpu import Plan

    Tensors = dict[str, torch.Tensor]
else:
    Tensors = dict


class Progress(Protocol):
    """Receives the progress of a run. `done` counts finished steps of `total`, and never decreases within a stage.

    A watcher with an attribute `previews`, a number of seconds, gets at most so often a small picture of the clip as it
    is denoised: frames evenly spread, side by side. One with a method `on_output(stage, tensors, shown)` is given what
    each step made, from the cache or now: its tensors, and its pictures (F, H, W, 3) uint8, by name. The clips that a
    run is given come first, as the stage "inputs", and its result last, as "result"; nothing of it may be changed.
    """

    def start(self, stage: str, total: int) -> None:
        """A stage begins."""

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """`done` steps are finished; preview is an optional (H, W, 3) uint8 picture."""

    def end(self, stage: str) -> None:
        """The stage has ended."""

    def cancelled(self) -> bool:
        """Whether the run should stop."""
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
    """A method's view of a `Progress`: keeps the calls in order, and adds `tick`, which also cancels."""

    def __init__(self, progress: Progress) -> None:
        if missing := [word for word in ("start", "step", "end", "cancelled") if not hasattr(progress, word)]:
            kind = type(progress).__name__
            raise UserError(f"progress is a {kind}, which lacks {', '.join(missing)}: see motionkit.context.Progress")
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
        """Report finished steps; a number below the last one is ignored."""
        if done >= self._open.get(stage, 0):
            self._open[stage] = done
            made, self.picture = self.picture, None
            self.progress.step(stage, done, made if preview is None else preview)

    def end(self, stage: str) -> None:
        """End a stage, if it is open."""
        if self._open.pop(stage, None) is not None:
            self.progress.end(stage)

    def output(self, stage: str, tensors: Mapping[str, Any], shown: Mapping[str, np.ndarray]) -> None:
        """Hand what a step made to a watcher with a method `on_output` (see `Progress`)."""
        look = getattr(self.progress, "on_output", None)
        if look is not None:
            look(stage, tensors, shown)

    def cancelled(self) -> bool:
        """Whether the run should stop."""
        return self.progress.cancelled()

    def tick(self, stage: str, done: int, total: int, preview: Any = None) -> None:
        """Begin `stage` when it is new, report `done` of `total` steps, end it with the last step.

        Raises:
            Cancelled: the run should stop.
        """
        self.check()
        if stage not in self._open:
            self.start(stage, total)
        self.step(stage, done, preview)
        if done >= total:
            self.end(stage)

    def walk(self, stage: str) -> Walk:
        """What `motionkit.diffusion.loop.denoise` takes as its progress: `tick`, and a look at its latents."""
        return Walk(self, stage)

    def check(self) -> None:
        """Stop here if the run should stop.

        Raises:
            Cancelled: the run should stop.
        """
        if self.cancelled():
            raise Cancelled("cancelled")

    def close(self) -> None:
        """End every stage that is still open."""
        for stage in list(self._open):
            self.end(stage)


@dataclass(frozen=True)
class Walk:
    """The progress of a walk down a grid: `tick` under a stage, and the latents after each step.

    A `Progress` that has a method `on_latents(stage, done, latents, timestep) -> latents` is given the latents
    (B, C, F, h, w) after each step, before it is told that the step is finished, and returns those to go on with.
    """

    reporter: Reporter
    stage: str

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` steps are finished."""
        self.reporter.tick(self.stage, done, total)

    def latents(self, done: int, latents: torch.Tensor, timestep: float) -> torch.Tensor:
        """The latents to go on with, after the step at that timestep."""
        look = getattr(self.reporter.progress, "on_latents", None)
        return latents if look is None else look(self.stage, done, latents, timestep)


class Checkpoint(Protocol):
    """Stores the state of a long step, so that a killed run can resume."""

    def load(self) -> Tensors | None:
        """The last saved state of this step, or None."""

    def save(self, tensors: Tensors) -> None:
        """Save a state, atomically, in place of the previous one."""


class NoCheckpoint:
    """Saves nothing; used by a run without cache."""

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
        remarks: lines for the user; `remark` adds to them.
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
    remarks: list[str] = field(default_factory=list)
    sampler: str = "auto"
    matte: np.ndarray | None = None

    @property
    def device(self) -> str:
        """The device of the memory plan."""
        return self.plan.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the memory plan."""
        import torch

        return getattr(torch, self.plan.dtype)

    def generator(self, name: str, device: str = "cpu") -> torch.Generator:
        """A separate generator for each named use; noise made on the CPU is the same on every machine."""
        import torch

        return torch.Generator(device).manual_seed(seed_from(self.seed, name))

    def show(self, name: str, frames: np.ndarray) -> None:
        """Keep pictures (F, H, W, 3) uint8 for the report, under a short name of letters, digits, "-" and "_"."""
        if frames.dtype != "uint8" or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"show({name!r}) needs (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise ValueError(f"show: {name!r} is not a valid name: up to 64 letters, digits, - and _")
        self.shown[name] = frames

    def note(self, key: str, value: Any) -> None:
        """Add a value to the manifest; raises TypeError at once, not after the stage, when JSON cannot hold it."""
        json.dumps(value)
        self.notes[key] = value

    def remark(self, line: str) -> None:
        """Tell the user one line before the run begins, and the manifest; for a method's `check`. "" is nothing."""
        if line and line not in self.remarks:
            self.remarks.append(line)

    @contextmanager
    def collect(self) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
        """The pictures and notes made inside the block; added to the others when the block ends."""
        before = self.shown, self.notes
        self.shown, self.notes = {}, {}
        try:
            yield self.shown, self.notes
        finally:
            self.shown, self.notes = before[0] | self.shown, before[1] | self.notes

    def scratch(self) -> Path:
        """A folder inside the run folder for the method's own files."""
        path = self.folder / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def checkpoint(self, stage: str) -> Checkpoint:
        """Where `stage` ("fit", or "fit:part" for several in one stage) saves its state."""
        return self.checkpoints(stage)
