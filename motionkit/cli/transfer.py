"""`motionkit transfer`: one method on one reference and one driving clip."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from motionkit.cli.key_help import told
from motionkit.cli.schemas import TransferConfig
from motionkit.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from motionkit.cli.hydra_app import JobFolders
    from motionkit.context import Progress

HELP = f"""usage: motionkit transfer [key=value ...] [-m] [--cfg job]

inputs
{told(TransferConfig, "reference=FILE driving=FILE prompt=TEXT source_prompt=TEXT negative_prompt=TEXT")}
{told(TransferConfig, "start=T end=T reference_start=T reference_end=T")}
{told(TransferConfig, "poses=FILE masks=FILE depth=FILE correspondence=FILE keypoints=FILE")}
how
{told(TransferConfig, "method=NAME backbone=NAME gpu=NAME sampler=NAME seed=0 frames=N size=N|WxH fps=N")}
{told(TransferConfig, "cache=true progress=NAME")}
output
{told(TransferConfig, "output=FILE alpha=null audio=true loop=none output_metadata=true")}
{told(TransferConfig, "viewer=none")}

  --cfg job               print the whole configuration and stop
  -m                      sweep: seed=0,1,2 -m  (hydra/launcher=joblib or submitit_slurm runs them side by side);
                          the folder of each job holds its result, without output=
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    from motionkit.cli.hydra_app import run

    return run("transfer", transfer, argv)


def transfer(config: TransferConfig, start: JobFolders) -> None:
    """One run, from a typed configuration to files.

    Raises:
        UserError: anything that the user can fix; whatever is cheap to check is checked before torch loads.
    """
    from motionkit.cli.words import request_of
    from motionkit.running.request import check

    request = request_of(config, start)
    with watched(config, start.folder) as watch:
        plan = check(request, watch, say)
        before = [f"  {plan.preflight}"] if plan.preflight else []
        result = plan.execute(announce=lambda memory: say("\n".join([*memory.lines(), *before])))
    if result.manifest["plan"] != asdict(plan.memory):
        for line in type(plan.memory)(**result.manifest["plan"]).lines():
            say(line)
    print(request.output or result.folder / "result.mp4")


@contextmanager
def watched(config: TransferConfig, folder: Path) -> Iterator[Progress]:
    """The progress display, and the viewer where one is asked for. Raises: UserError, as `motionkit.running.viewer`."""
    watch = progress(config.progress)
    if config.viewer == "none":
        yield watch
        return
    from motionkit.running import viewer
    from motionkit.running.progress import Several

    viewer.check(config.viewer)
    shows = viewer.RerunViewer(folder, config.viewer == "rerun-live")
    try:
        yield Several(watch, shows)
    finally:
        shows.close()
    say(f"  {shows.path}: rerun {shows.path} shows it")


def say(line: str) -> None:
    """Print a remark for the user, on stderr."""
    print(line, file=sys.stderr, flush=True)


def progress(name: str) -> Progress:
    """The progress display of that name, on stderr."""
    from motionkit.context import NullProgress
    from motionkit.running.progress import JsonlProgress, TerminalProgress

    kinds: dict[str, Callable[[], Progress]] = {
        "terminal": TerminalProgress,
        "jsonl": lambda: JsonlProgress(sys.stderr),
        "none": NullProgress,
    }
    if name not in kinds:
        raise unknown("value of progress", name, kinds)
    return kinds[name]()
