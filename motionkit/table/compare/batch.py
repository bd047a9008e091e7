"""Several comparisons in a row: each job in a folder of its own, and an index page from the first job on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.data.job_rows import Job
from motionkit.errors import Cancelled, UserError
from motionkit.media.output_files import check_writable
from motionkit.table.compare.index import INDEX, JOBS, Done, write_index
from motionkit.table.compare.outcome import row
from motionkit.table.store import TRACE

if TYPE_CHECKING:
    from motionkit.table.compare.engine import Comparison


@dataclass(frozen=True)
class Batch:
    """The result of a list of jobs: its folder, and each job in order."""

    folder: Path
    jobs: Sequence[Done] = field(default_factory=list)

    @property
    def index(self) -> Path:
        """The page that leads to every job's page."""
        return self.folder / INDEX

    @property
    def failed(self) -> Mapping[str, str]:
        """Job -> why it, or one of its methods, failed."""
        return {job.name: job.why for job in self.jobs if job.failed}


def compare_jobs(
    jobs: Sequence[Job],
    run: Callable[[Job, Path], Comparison],
    folder: str | Path,
    say: Callable[[str], None] = lambda line: None,
) -> Batch:
    """Run every job, and write the index after each, so that a stopped list leaves a page of the finished ones.

    A job that fails is reported and does not stop the rest. Started again, the same list resumes: `run` reads the
    finished cells of each job back.

    Args:
        run: the comparison of one job in the folder that it is given (`motionkit.table.compare.compare` on its inputs).
        say: gets a line per job as it begins, and one for each failure.

    Raises:
        UserError: the folder cannot be written.
        Cancelled: stopped by the user; what is finished is kept.
    """
    folder = Path(folder)
    check_writable(folder)
    done: list[Done] = []
    for number, job in enumerate(jobs, 1):
        say(f"job {number} of {len(jobs)}: {job.name}")
        done.append(_one(job, run, folder / JOBS / job.name))
        if done[-1].reason:
            say(f"  {job.name} failed: {done[-1].reason}")
        write_index(folder, done, len(jobs))
    return Batch(folder, done)


def _one(job: Job, run: Callable[[Job, Path], Comparison], folder: Path) -> Done:
    if job.wrong:
        return Done(job.name, reason=job.wrong)
    try:
        made = run(job, folder)
        return Done(job.name, [row(entry) for entry in made.entries], made.still)
    except Cancelled:
        raise
    except UserError as error:
        return Done(job.name, reason=_line(str(error)))
    except Exception as error:  # whatever happens in one job, the others must run
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRACE).write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
        reason = _line(f"{type(error).__name__}: {error}")
        return Done(job.name, reason=f"{reason} (an internal error: see {JOBS}/{job.name}/{TRACE})")


def _line(text: str) -> str:
    """One line for the index; a path in it may hold bytes that are not text."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())
