"""Trains the pocket weights in order: continues with the next unfinished stage, one at a time, on one core.

A stage is finished when its record is in the set's folder. `make train-pocket` starts this; when it is stopped (Ctrl-C
or SIGTERM), the current step ends, and the stage leaves files from which it resumes, also on another machine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from pathlib import Path

from motionkit.errors import UserError, in_one_line
from motionkit.training.recipes.stage import SET, UNFINISHED
from motionkit.training.recipes.stages import STAGES, Stage

# Keep freed memory: requesting its pages again from the system costs up to a tenth of a step.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456"}


def is_finished(stage: Stage, folder: Path = SET) -> bool:
    """Whether its record is in the set."""
    return (folder / "records" / f"{stage.name}.json").exists()


def run(
    stages: tuple[Stage, ...],
    folder: Path = SET,
    second: Path | None = None,
    seconds: float | None = None,
    workers: int | None = None,
) -> str:
    """Run the unfinished stages, in order; returns what happened in one line.

    Args:
        second: a folder for copies of the checkpoints.  seconds: time limit, after which it stops.
        workers: on a GPU, processes that render ahead.

    Raises:
        UserError: a stage failed; its output says why.
    """
    end = time.monotonic() + seconds if seconds else None
    for stage in stages:
        if is_finished(stage, folder):
            continue
        print(f"{time.strftime('%H:%M:%S')} {stage.name}: {stage.hours:g} h planned, goal: {stage.gate}", flush=True)
        status = _wait(stage.command(second, workers), end)
        if status == UNFINISHED:
            return f"stopped in {stage.name}; the same command resumes"
        if status or not is_finished(stage, folder):
            raise UserError(f"stage {stage.name} ended with status {status} and is not finished: see its output")
    return "all stages are finished"


def _wait(command: list[str], end: float | None = None) -> int:
    """Run a command with the settings for one core; stop signals are passed on, and one is sent when time is up."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    child = subprocess.Popen(command, env=os.environ | MALLOC | threads)
    before = signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(signal.SIGTERM))
    try:
        while True:
            try:
                return child.wait(None if end is None else max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGTERM)
                end = None
            except KeyboardInterrupt:  # the terminal has signalled the child too
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Command line: shows the queue, or runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="list the finished and the remaining stages")
    parser.add_argument("--core", type=int, default=None, help="number of the core to run on")
    parser.add_argument("--second", type=Path, default=None, help="a folder for copies of the checkpoints")
    parser.add_argument("--seconds", type=float, default=None, help="stop after this time")
    parser.add_argument(
        "--gpu-workers", type=int, default=None, help="train on a GPU, with this many processes that render ahead"
    )
    parser.add_argument("--only", nargs="+", default=None, help="run only these stages")
    args = parser.parse_args()
    known = [stage.name for stage in STAGES]
    if unknown := sorted(set(args.only or ()) - set(known)):
        raise SystemExit(f"no stage {', '.join(unknown)}; there are {', '.join(known)}")
    if args.list:
        for stage in STAGES:
            print(f"{'finished' if is_finished(stage) else 'to do':9} {stage.name:22} {stage.hours:5g} h  {stage.gate}")
        return
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    chosen = tuple(s for s in STAGES if not args.only or s.name in args.only)
    print(run(chosen, SET, args.second, args.seconds, args.gpu_workers))


if __name__ == "__main__":
    in_one_line(main)
