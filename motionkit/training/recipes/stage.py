"""What the stages of the pocket weights share: their folders, and how they begin, stop and end.

A stage resumes from its checkpoint in runs/, else from the files that were handed over. When it is stopped it hands
over (see `handover`); when it is finished it exports its weights to the set and leaves its record and curve there.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from motionkit.training.loop import Loop, write_record
from motionkit.training.recipes.handover import hand_over, take_over
from motionkit.training.stopping import stoppable

SET = Path("benchmarks/pocket/set")  # the set of weights that is being made, in hub layout; what it lacks is shipped
HANDOVER = Path("benchmarks/pocket/handover")
UNFINISHED = 75  # exit status of a stage that was stopped before its end


def stage_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a stage, besides those that every trainer has."""
    parser.add_argument("--set", type=Path, default=SET, help="folder of the set of weights")
    parser.add_argument("--handover", type=Path, default=HANDOVER, help="folder for the files of unfinished stages")
    parser.add_argument("--workers", type=int, default=0, help="processes that render ahead, for a GPU")
    parser.add_argument(
        "--noises", type=int, default=2, help="noise draws for each rendered picture, in stages that use noise"
    )
    parser.add_argument("--second", type=Path, default=None, help="a folder for copies of the checkpoints")


def run_stage(
    loop: Loop,
    args: argparse.Namespace,
    export: Callable[[Any], dict[str, Any] | None],
    facts: dict[str, Any] | None = None,
) -> None:
    """Run the stage named like its folder, from its last state.

    Args:
        export: writes the averaged model, and may return figures for the record.
        facts: further entries of the record.

    Raises:
        SystemExit: with status UNFINISHED when it was stopped before the end.
    """
    name = args.folder.name
    take_over(loop, args.handover / name)
    with stoppable(loop):
        trained: nn.Module = loop.run()
    if not loop.finished:
        size = hand_over(loop, args.handover / name, facts)
        print(f"{name}: stopped at step {loop.step} of {loop.settings.steps}; handed over {size / 1e6:.1f} MB")
        raise SystemExit(UNFINISHED)
    figures = export(trained)
    finish(loop, args.set, name, (facts or {}) | ({"figures": figures} if figures else {}))
    shutil.rmtree(args.handover / name, ignore_errors=True)


def finish(loop: Loop, folder: Path, name: str, facts: dict[str, Any] | None = None) -> None:
    """Write a finished stage's record and curve into the set; the record marks the stage as finished."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    curve = loop.settings.folder / "curve.csv"
    if curve.exists():
        shutil.copy2(curve, folder / "records" / f"{name}.csv")
    write_record(
        folder / "records" / f"{name}.json", {"steps": loop.step, "seconds": round(loop.seconds)} | (facts or {})
    )
