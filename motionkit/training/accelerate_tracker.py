"""A training's values in tensorboard, Weights & Biases or trackio, through the trackers of accelerate."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit.errors import UserError
from motionkit.training.tracker import LEVELS, NAMES, TIMES, NullTracker, Shown, Tracker

if TYPE_CHECKING:
    from torch import Tensor

PROJECT, MEAN_OVER, FPS = "motionkit", 10, 8.0  # values are means over so many steps


def check(name: str) -> None:
    """Raises: UserError where the tracker is none of `NAMES`, or its package is not installed."""
    from motionkit.settings.setting import check_choice

    check_choice("tracker", name, NAMES)
    if name != "none" and importlib.util.find_spec(name) is None:
        raise UserError(f"tracker={name} needs {name}: pip install 'motionkit[track]', or give tracker=none")


def make(name: str, folder: Path, run: str, facts: Mapping[str, Any], every: int, device: str = "cpu") -> Tracker:
    """The tracker of that name.

    Args:
        folder: of the training; event files and sample clips go there.
        run: how the run is called, where runs have names.
        facts: of the run, kept beside its curves: only numbers, switches and words count, and of a path the last part.
        every: steps between two validations; 0: never.
        device: on which the training computes.

    Raises:
        UserError: see `check`.
    """
    check(name)
    return NullTracker() if name == "none" else AccelerateTracker(name, folder, run, facts, every, device)


class AccelerateTracker:
    """Means over a few steps, losses by noise level, speed, and what is seen of held-out clips.

    It begins with the first step, in the process that has it. Nothing of it changes the training: generators are
    restored after each call, and what libraries print goes to stderr.
    """

    def __init__(
        self, name: str, folder: Path, run: str, facts: Mapping[str, Any], every: int, device: str = "cpu"
    ) -> None:
        self.name, self.folder, self.run, self.facts, self.every = name, folder, run, plain_facts(facts), every
        self.device = device
        self._tracker: Any = None
        self._sums: dict[str, list[float]] = {}
        self._levels: list[tuple[Tensor, Tensor]] = []
        self._steps, self._last, self._clock = 0, 0, time.monotonic()

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """Add up the values, and report their means every few steps."""
        if self._tracker is None:
            self._quietly(self._start)
            self._clock = time.monotonic()
        for key, value in values.items():
            self._sums.setdefault(key, []).append(float(value))
        self._steps, self._last = self._steps + 1, step
        if self._steps >= MEAN_OVER:
            self._quietly(self._report)

    def on_losses(self, times: Tensor, losses: Tensor) -> None:
        """Keep a batch's losses (B,) with their timesteps (B,), where they are, until the next report."""
        self._levels.append((times, losses))

    def on_validation(self, step: int, shown: Shown) -> None:
        """Report figures, and keep the clips as mp4 below `samples`, for the tracker to take."""
        self._quietly(lambda: self._validation(step, shown))
        self._clock = time.monotonic()  # the speed is of training alone

    def on_end(self) -> None:
        """Report what is left, and close the tracker."""
        if self._tracker is None:
            return
        self._quietly(self._report)
        self._quietly(self._finish)
        self._tracker = None

    def _quietly(self, call: Callable[[], None]) -> None:
        from motionkit.training.undisturbed import undisturbed

        with undisturbed(), redirect_stdout(sys.stderr):
            call()

    def _start(self) -> None:
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState(cpu=self.device == "cpu")  # accelerate's own log asks for it
        more: dict[str, dict[str, Any]] = {
            "tensorboard": {"logging_dir": str(self.folder)},
            "wandb": {"name": self.run, "dir": str(self.folder)},
            "trackio": {"name": self.run, "resume": "allow", "embed": False},
        }
        kind = "tensorboard" if self.name == "tensorboard" else PROJECT  # a folder's name there, else the project's
        tracker: Any = LOGGER_TYPE_TO_CLASS[self.name](kind, **more[self.name])
        tracker.main_process_only = False  # only the first process has a tracker at all
        tracker.start()
        if self.name == "tensorboard":
            tracker.writer.add_text("run", "\n".join(f"- {k}: {v}" for k, v in self.facts.items()))
        else:
            tracker.store_init_configuration(self.facts)
        self._tracker = tracker

    def _finish(self) -> None:
        if self.name == "trackio":  # accelerate's leaves the run to be finished, with words on stdout, at exit
            importlib.import_module(self.name).finish()
        else:
            self._tracker.finish()

    def _report(self) -> None:
        if not self._steps:
            return
        values = {f"train/{key}": sum(held) / len(held) for key, held in self._sums.items()}
        values |= by_level(self._levels)
        values["speed/steps_per_second"] = self._steps / max(time.monotonic() - self._clock, 1e-9)
        self._tracker.log(values, step=self._last)
        self._sums, self._levels, self._steps, self._clock = {}, [], 0, time.monotonic()

    def _validation(self, step: int, shown: Shown) -> None:
        from motionkit.media import write_video

        self._report()
        figures = {f"{shown.where}/{key}": float(value) for key, value in shown.figures.items()}
        if figures:
            self._tracker.log(figures, step=step)
        for name, clip in shown.clips.items():
            frames = (clip.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            path = self.folder / "samples" / f"{name.replace('/', '-')}-{step:07d}.mp4"
            path.parent.mkdir(exist_ok=True)
            write_video(path, frames, FPS)
            self._clip(f"{shown.where}/{name}", step, path, frames)

    def _clip(self, name: str, step: int, path: Path, frames: np.ndarray) -> None:
        if self.name == "tensorboard":
            self._tracker.writer.file_writer.add_summary(_moving(name, frames), step)
        else:
            kind = importlib.import_module(self.name).Video
            self._tracker.log({name: kind(str(path), format="mp4")}, step=step)


def by_level(batches: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """The mean loss of each band of noise levels that was drawn, by `noise_level/FIRST-LAST` timestep."""
    found: dict[str, list[float]] = {}
    width = TIMES // LEVELS
    for times, losses in batches:
        for t, loss in zip(times.tolist(), losses.tolist(), strict=True):
            first = min(int(t) // width, LEVELS - 1) * width
            found.setdefault(f"noise_level/{first:03d}-{first + width - 1:03d}", []).append(loss)
    return {name: sum(held) / len(held) for name, held in sorted(found.items())}


def plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Nested facts as flat ones with dotted names; of a path on this machine only its last part is kept.

    >>> plain_facts({"train": {"lr": 0.1, "cache": "/home/me/cache"}, "seed": 0})
    {'train.lr': 0.1, 'train.cache': 'cache', 'seed': 0}
    """
    out: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            out |= {f"{key}.{name}": inner for name, inner in plain_facts(value).items()}
        elif isinstance(value, str | Path) and ("/" in str(value) or "\\" in str(value)):
            out[key] = Path(value).name
        elif isinstance(value, bool | int | float | str):
            out[key] = value
    return out


def _moving(name: str, frames: np.ndarray) -> Any:
    """A clip as tensorboard shows it, a moving gif, without the package that its own writer of videos needs."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    pictures, held = [Image.fromarray(frame) for frame in frames], io.BytesIO()
    pictures[0].save(held, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / FPS), loop=0)
    height, width = frames.shape[1:3]
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=held.getvalue())
    return Summary(value=[Summary.Value(tag=name, image=image)])
