"""The one worker: jobs of all browsers wait in a line, and one runs at a time."""

from __future__ import annotations

import base64
import copy
import io
import itertools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from motionkit.context import NullProgress
from motionkit.errors import Cancelled, UserError

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
OVER = (DONE, FAILED, CANCELLED)
_KEPT = 200  # finished jobs that are remembered
_log = logging.getLogger(__name__)


class Watch(NullProgress):
    """What a run tells the page: its stages with the time left, and a picture of the clip as it is denoised."""

    previews = 0.5

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self.picture = ""
        self.notes: list[str] = []
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def start(self, stage: str, total: int) -> None:
        """A stage begins; the same name again is a stage of its own."""
        record = {"name": stage, "total": total, "done": 0, "began": time.monotonic(), "seconds": None}
        with self._lock:
            self.stages.append(record)

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Note how far it is, and the picture."""
        picture = None if preview is None else _data(preview)
        with self._lock:
            self._last(stage)["done"] = done
            self.picture = picture or self.picture

    def end(self, stage: str) -> None:
        """Note what it took."""
        with self._lock:
            record = self._last(stage)
            record["seconds"] = time.monotonic() - record["began"]

    def cancelled(self) -> bool:
        """Whether the page asked to stop."""
        return self.stop.is_set()

    def say(self, line: str) -> None:
        """A line for the user."""
        self.notes.append(line)

    def facts(self) -> list[dict[str, Any]]:
        """The stages for the page: name, done, total, seconds so far, seconds left."""
        with self._lock:
            return [_stage(record, time.monotonic()) for record in self.stages]

    def clear(self) -> None:
        """Forget the stages of one run before the next of the same job."""
        with self._lock:
            self.stages, self.picture = [], ""

    def _last(self, stage: str) -> dict[str, Any]:
        return next(record for record in reversed(self.stages) if record["name"] == stage)


def _stage(record: dict[str, Any], now: float) -> dict[str, Any]:
    took, done, total = record["seconds"], record["done"], record["total"]
    spent = now - record["began"] if took is None else took
    left = spent / done * (total - done) if took is None and done else None
    return {
        "name": record["name"],
        "done": done,
        "total": total,
        "seconds": spent,
        "left": left,
        "over": took is not None,
    }


def _data(picture: Any) -> str:
    """A small picture (H, W, 3) uint8 as a data: address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class Job:
    """Something that runs in its turn; `work` gets the job, and says by `add` and `show` what is finished as it goes.

    Attributes:
        state: changed by the `Line` alone.
        line: why it failed, in one line.
    """

    def __init__(self, title: str, work: Callable[[Job], None]) -> None:
        self.id, self.title, self.work = secrets.token_urlsafe(12), title, work
        self.state, self.line = WAITING, ""
        self.watch = Watch()
        self.began: float | None = None
        self.seconds = 0.0
        self._cells: list[dict[str, Any]] = []
        self._shown: dict[str, Any] = {}
        self._lock = threading.Lock()

    def add(self, cell: Mapping[str, Any]) -> None:
        """A method is finished."""
        with self._lock:
            self._cells.append(copy.deepcopy(dict(cell)))

    def show(self, **more: Any) -> None:
        """What else the page shows, by name; copied, so that the caller may go on with its own."""
        kept = copy.deepcopy(more)
        with self._lock:
            self._shown |= kept

    def facts(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """What is finished, and what else is shown: a copy that nothing changes any more."""
        with self._lock:
            return copy.deepcopy(self._cells), copy.deepcopy(self._shown)

    def shows(self, name: str) -> bool:
        """Whether something is shown under that name."""
        with self._lock:
            return name in self._shown


class Line:
    """Jobs in the order in which they were asked for; a thread of its own runs one after another."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._jobs: dict[str, Job] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, job: Job) -> Job:
        """Put a job at the end."""
        with self._lock:
            over = [known.id for known in self._jobs.values() if known.state in OVER]
            for name in over[: max(0, len(over) - _KEPT)]:
                del self._jobs[name]
            self._jobs[job.id] = job
            self._waiting.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="motionkit-ui", daemon=True)
                self._thread.start()
        return job

    def get(self, name: Any) -> Job | None:
        """The job of that id, if it is remembered."""
        with self._lock:
            return self._jobs.get(name) if isinstance(name, str) else None

    def before(self, job: Job) -> int:
        """How many jobs run or wait before this one."""
        with self._lock:
            earlier = itertools.takewhile(lambda known: known is not job, self._jobs.values())
            return sum(known.state not in OVER for known in earlier)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        with self._lock:
            return all(known.state in OVER for known in self._jobs.values())

    def cancel(self, name: Any) -> None:
        """Stop a job, or take it out of the line; one that is over stays as it is."""
        job = self.get(name)
        if job is None:
            return
        with self._lock:  # between the worker's look at a state and its change nothing comes
            if job.state not in OVER:
                job.watch.stop.set()
            if job.state == WAITING:
                job.state = CANCELLED

    def _run(self) -> None:
        while True:
            job = self._waiting.get()
            with self._lock:
                starts = job.state == WAITING
                if starts:
                    job.state, job.began = RUNNING, time.monotonic()
            if starts:
                self._one(job)

    def _one(self, job: Job) -> None:
        began, state = time.monotonic(), DONE
        try:
            job.work(job)
        except Cancelled:
            state = CANCELLED
        except UserError as error:
            state, job.line = FAILED, one_line(error)
        except (Exception, SystemExit) as error:  # whatever one job does, the line goes on
            _log.exception("a defect in the job %s", job.title)
            state, job.line = FAILED, f"{type(error).__name__}: {one_line(error)} (a defect: the terminal says where)"
        with self._lock:
            job.seconds, job.state = time.monotonic() - began, state


def one_line(error: BaseException) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split())
