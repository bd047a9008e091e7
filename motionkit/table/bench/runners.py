"""Where cells run: one after another, side by side on this machine (joblib), or on a cluster (submitit).

Each cell runs in a process of its own (`motionkit.table.bench.isolation`), so that its time and peak memory are its
own. A runner only decides where and how many at a time; a cell's result is in its folder.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from motionkit.errors import Cancelled, UserError, unknown
from motionkit.settings.setting import setting
from motionkit.table.bench.isolation import isolated
from motionkit.table.bench.planned import Cell
from motionkit.table.store import STOPPED

NAMES = ("serial", "joblib", "submitit")
CLUSTERS = ("slurm", "local")


class Runner(Protocol):
    """Runs cells; the result or failure of each is in its folder, and the others still run."""

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield each cell when it has ended, well or not.

        Raises:
            Cancelled: stopped by the user.
        """


@dataclass
class Cluster:
    """The resources of each job on a cluster."""

    kind: str = setting(
        "Which kind of cluster.",
        "slurm",
        choices={"slurm": "Slurm", "local": "processes on this machine, for trying it out"},
    )
    partition: str | None = setting("The cluster's partition; null is its default.", None)
    minutes: int = setting("Time limit of a job.", 240, low=1, high=float("inf"), unit="min")
    gpus: int = setting("Number of GPUs of a job.", 0, low=0, high=float("inf"))
    memory_gb: float | None = setting("Memory of a job; null is the cluster's default.", None, unit="GB")
    cells: int = setting("How many cells a job runs, one after another.", 8, low=1, high=float("inf"))
    extra: dict[str, Any] = setting("Further parameters of sbatch by name, such as account.", factory=dict)


@dataclass(frozen=True)
class Serial:
    """One cell after another; `threads` of each cell's process, None leaves what the libraries choose."""

    threads: int | None = None

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield each cell when it has ended, well or not."""
        for cell in cells:
            yield isolated(cell, self.threads)


@dataclass(frozen=True)
class Joblib:
    """`workers` cells at a time on this machine, `threads` each."""

    workers: int = 2
    threads: int | None = 1

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield each cell when it has ended, well or not."""
        joblib = _extra("joblib")
        parallel = joblib.Parallel(self.workers, backend="loky", return_as="generator_unordered", batch_size=1)
        ended = False
        try:
            yield from parallel(joblib.delayed(isolated)(cell, self.threads) for cell in cells)
            ended = True
        except KeyboardInterrupt:
            raise Cancelled(STOPPED) from None
        finally:  # idle workers would wait for minutes, each with the libraries in memory
            joblib.externals.loky.get_reusable_executor().shutdown(wait=ended, kill_workers=not ended)


@dataclass(frozen=True)
class Submitit:
    """Jobs of several cells each, at most `workers` jobs at a time, `threads` processors each.

    The folder of cells must be seen by every machine of the cluster; submitit's own files lie in `folder`.
    """

    folder: Path
    workers: int = 2
    threads: int | None = 1
    cluster: Cluster = field(default_factory=Cluster)
    poll_seconds: float = 2.0

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield each cell when its job has ended, well or not."""
        submitit = _extra("submitit")
        if not cells:
            return
        executor = self._executor(submitit)
        shares = self._shares(cells)
        with executor.batch():
            jobs = [executor.submit(_work_off, share, self.threads) for share in shares]
        share_of = dict(zip(jobs, shares, strict=True))
        try:
            for job in submitit.helpers.as_completed(jobs, poll_frequency=self.poll_seconds):
                self._look_at(job, share_of[job])
                yield from share_of[job]
        except KeyboardInterrupt:
            raise Cancelled(STOPPED) from None
        finally:
            for job in jobs:
                if not job.done():
                    job.cancel(check=False)

    def _executor(self, submitit: Any) -> Any:
        want = self.cluster
        try:
            executor = submitit.AutoExecutor(self.folder, cluster=want.kind)
        except RuntimeError as error:
            line = f"runner=submitit cluster.kind={want.kind}: {error}; cluster.kind=local needs no cluster"
            raise UserError(line) from error
        asked: dict[str, Any] = {
            "name": "motionkit-bench",
            "timeout_min": want.minutes,
            "cpus_per_task": self.threads or 1,
            "gpus_per_node": want.gpus,
            "mem_gb": want.memory_gb,
            "slurm_partition": want.partition,
            "slurm_array_parallelism": self.workers,
            "slurm_additional_parameters": want.extra or None,
        }
        executor.update_parameters(**{name: value for name, value in asked.items() if value is not None})
        return executor

    def _shares(self, cells: Sequence[Cell]) -> list[list[Cell]]:
        """The cells of each job; the local executor starts all jobs at once, so there are `workers` of them."""
        if self.cluster.kind == "local":
            return [share for first in range(self.workers) if (share := list(cells[first :: self.workers]))]
        return [list(cells[first : first + self.cluster.cells]) for first in range(0, len(cells), self.cluster.cells)]

    def _look_at(self, job: Any, share: Sequence[Cell]) -> None:
        """Record why a job was ended from outside with those of its cells that it did not reach."""
        error = job.exception()
        if error is None:
            return
        last = " ".join(str(error).split())[-200:]
        for cell in share:
            failed = cell.last_try != cell.turn.tried if cell.turn else bool(cell.failure())
            if not cell.record() and not failed:
                cell.fail(f"job {job.job_id} ended before this cell: {type(error).__name__}: {last}")


def _work_off(cells: Sequence[Cell], threads: int | None) -> int:
    """The work of one job of a cluster; returns how many cells it reached."""
    for cell in cells:
        isolated(cell, threads)
    return len(cells)


def make_runner(
    name: str, folder: Path, workers: int = 2, threads: int | None = None, cluster: Cluster | None = None
) -> Runner:
    """The runner of that name.

    Args:
        folder: of the benchmark; a cluster's logs go below it.
        threads: of each cell; None is one where several run side by side, and what the libraries choose otherwise.

    Raises:
        UserError: no such runner, an invalid number, or its library is not installed.
    """
    if name not in NAMES:
        raise unknown("runner", name, NAMES)
    for what, value in (("workers", workers), ("threads", 1 if threads is None else threads)):
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{what}={value}: give a whole number from 1 on")
    cluster = cluster or Cluster()
    if name == "serial":
        return Serial(threads)
    _extra(name)
    if name == "joblib":
        return Joblib(workers, threads or 1)
    if cluster.kind not in CLUSTERS:
        raise unknown("cluster.kind", cluster.kind, CLUSTERS)
    if cluster.cells < 1 or cluster.minutes < 1:
        raise UserError("cluster.cells and cluster.minutes are whole numbers from 1 on")
    return Submitit(folder / "jobs", workers, threads or 1, cluster)


def _extra(name: str) -> Any:
    """Import a library that is an extra of motionkit."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"runner={name} needs {name}: pip install 'motionkit[{name}]', or runner=serial") from error
