"""Progress out of a run and cancellation into it: one small protocol, a null object, and two ways to show it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from motionkit.errors import Cancelled


class Progress(Protocol):
    """What a run tells its watcher. `done` counts finished steps of `total`, and never falls within a stage."""

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


class Announced(NullProgress):
    """Another progress, before whose first stage something is said: whatever can be refused has been refused then."""

    def __init__(self, progress: Progress, say: Callable[[], None]) -> None:
        self.progress, self.say, self._said = progress, say, False

    def start(self, stage: str, total: int) -> None:
        """Say it, once."""
        if not self._said:
            self._said = True
            self.say()
        self.progress.start(stage, total)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """As the other."""
        self.progress.step(stage, done, preview)

    def end(self, stage: str) -> None:
        """As the other."""
        self.progress.end(stage)

    def cancelled(self) -> bool:
        """As the other."""
        return self.progress.cancelled()


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


class Reporter:
    """What a method sees of a `Progress`: the same calls kept in order, and `tick`, which also cancels."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._open: dict[str, int] = {}

    def start(self, stage: str, total: int) -> None:
        """Begin a stage; beginning it again ends the first one."""
        self.end(stage)
        self._open[stage] = 0
        self.progress.start(stage, total)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Report finished steps; a number that falls is left out."""
        if done >= self._open.get(stage, 0):
            self._open[stage] = done
            self.progress.step(stage, done, preview)

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


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{rest:02d}" if seconds >= 10 else f"{seconds:.1f} s"
