"""Ways to show progress: a line on a terminal, JSON objects for another program, a callback before it begins."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from motionkit.context import NullProgress, Progress

VIEWERS = {
    "none": "nothing",
    "rerun": "viewer.rrd in the run's folder",
    "rerun-live": "the same, and a window that shows it while it runs",
}


class Announced(NullProgress):
    """Wraps another progress and runs a callback before its first stage, when everything has been checked."""

    def __init__(self, progress: Progress, say: Callable[[], None]) -> None:
        self.progress, self.say, self._said = progress, say, False

    def start(self, stage: str, total: int) -> None:
        """Run the callback, once."""
        if not self._said:
            self._said = True
            self.say()
        self.progress.start(stage, total)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """As the wrapped progress."""
        self.progress.step(stage, done, preview)

    def end(self, stage: str) -> None:
        """As the wrapped progress."""
        self.progress.end(stage)

    def cancelled(self) -> bool:
        """As the wrapped progress."""
        return self.progress.cancelled()


class Several(NullProgress):
    """Several watchers of one run: each of them is told everything, and each may stop it."""

    def __init__(self, *watchers: Any) -> None:
        self.watchers = watchers

    @property
    def previews(self) -> float | None:
        """The shortest time between two pictures that one of them wants."""
        return min(filter(None, (getattr(one, "previews", None) for one in self.watchers)), default=None)

    def start(self, stage: str, total: int) -> None:
        """Tell each."""
        for one in self.watchers:
            one.start(stage, total)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Tell each."""
        for one in self.watchers:
            one.step(stage, done, preview)

    def end(self, stage: str) -> None:
        """Tell each."""
        for one in self.watchers:
            one.end(stage)

    def cancelled(self) -> bool:
        """Whether one of them wants to stop."""
        return any(one.cancelled() for one in self.watchers)

    def on_latents(self, stage: str, done: int, latents: Any, timestep: float) -> Any:
        """Give the latents to each that looks at them, in order; returns those to go on with."""
        for look in self._all("on_latents"):
            latents = look(stage, done, latents, timestep)
        return latents

    def on_output(self, *output: Any) -> None:
        """Give what a step made to each that looks at it."""
        for look in self._all("on_output"):
            look(*output)

    def _all(self, name: str) -> list[Callable[..., Any]]:
        return [getattr(one, name) for one in self.watchers if hasattr(one, name)]


class TerminalProgress(NullProgress):
    """One line per stage with the time left; the line is redrawn on a terminal, and written once elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._stages: dict[str, tuple[int, float]] = {}
        self._drawn = 0.0

    def start(self, stage: str, total: int) -> None:
        """Note when the stage began."""
        self._stages[stage] = (total, time.monotonic())

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Redraw the line, at most ten times a second."""
        total, began = self._stages[stage]
        now = time.monotonic()
        if not self.live or (now - self._drawn < 0.1 and done < total):
            return
        self._drawn = now
        left = (now - began) / done * (total - done) if done else 0.0
        self.stream.write(f"\r\033[K  {stage} {done}/{total}  {_clock(left)} left")
        self.stream.flush()

    def end(self, stage: str) -> None:
        """Leave one line with the time that the stage took."""
        _, began = self._stages.pop(stage)
        start = "\r\033[K" if self.live else ""
        self.stream.write(f"{start}  {stage}  {_clock(time.monotonic() - began)}\n")
        self.stream.flush()


class JsonlProgress(NullProgress):
    """One JSON object per event, for another program to read."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def start(self, stage: str, total: int) -> None:
        """Write a start event."""
        self._write(event="start", stage=stage, total=total)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Write a step event; the preview is left out."""
        self._write(event="step", stage=stage, done=done)

    def end(self, stage: str) -> None:
        """Write an end event."""
        self._write(event="end", stage=stage)

    def _write(self, **event: Any) -> None:
        self.stream.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
        self.stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{rest:02d}" if seconds >= 10 else f"{seconds:.1f} s"
