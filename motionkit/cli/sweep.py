"""Cleans up after the jobs of a Hydra sweep: empty folders, and error lines in addition to motionkit's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.experimental.callback import Callback

RECORD = "multirun.yaml"  # Hydra writes it before the first job
CALLBACK = ("motionkit", {"_target_": f"{__name__}.watch"})
WATCH = f"+hydra.callbacks.{CALLBACK[0]}._target_={CALLBACK[1]['_target_']}"
_begun: list[Path] = []  # the folder of the sweep that runs in this process


def watch() -> Callback:
    """Hydra's callback that notes the folder of a sweep as it begins."""
    from hydra.experimental.callback import Callback

    class Watch(Callback):
        """Hydra calls it."""

        def on_multirun_start(self, config: Any, **named: Any) -> None:
            """Note the folder."""
            _begun[:] = [Path(config.hydra.sweep.dir).absolute()]

    return Watch()


@contextmanager
def tidy() -> Iterator[None]:
    """Remove the folder of the sweep that runs in this block, when it ends with nothing but Hydra's record there."""
    _begun.clear()
    try:
        yield
    finally:
        for folder in _begun:
            if folder.is_dir() and [path.name for path in folder.iterdir()] == [RECORD]:
                (folder / RECORD).unlink()
                folder.rmdir()


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, what a job raised comes out without Hydra's line "Error executing job" on stderr."""
    from hydra.core.utils import JobReturn, JobStatus

    before = JobReturn.return_value

    def value(job: JobReturn) -> Any:
        if job.status is JobStatus.FAILED:
            raise job._return_value
        return before.fget(job)  # type: ignore[attr-defined]

    JobReturn.return_value = property(value, before.fset)  # type: ignore
    try:
        yield
    finally:
        JobReturn.return_value = before  # type: ignore[method-assign]
