"""`motionkit transfer`: one method on one reference and one driving clip."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from motionkit.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from motionkit.cli.hydra_app import Start
    from motionkit.cli.schemas import TransferConfig
    from motionkit.context import Progress

HELP = """usage: motionkit transfer [key=value ...] [-m] [--cfg job]

inputs
  reference=FILE          image or video of the character (mp4, gif, png, jpg, webp, or a folder of images)
  driving=FILE            video of the motion
  prompt=TEXT             what the result shows; source_prompt= what the reference shows; negative_prompt= what to avoid
  poses= masks= depth= correspondence= keypoints=    ready-made maps in place of the estimators
how
  method=NAME             see `motionkit methods`; its settings are method.KEY=VALUE (`motionkit methods NAME`)
  backbone=NAME           see `motionkit backbones`; backbone.path=FOLDER for weights of your own
                          backbone.lora=FILE merges a LoRA into them; backbone.lora_scale=1.0
  gpu=NAME                auto, cpu, 8gb, 12gb, 24gb, 80gb; single switches are gpu.KEY=VALUE
  seed=0 frames=N size=N|WxH fps=N
  start=T end=T           the part of the driving clip: seconds (2.5, 1:05) or frames (60f); without end= the frames
                          follow each other from start= on; reference_start= reference_end= of a reference video
  cache=false             make every stage again;  progress=terminal|jsonl|none
output
  output=FILE             .mp4, .webm, .mov, .gif, .webp, .png, or a new folder for png frames; the run folder
                          runs/transfer/... is made anyway
  alpha=true              the subject alone, the rest transparent (not mp4); null: where the reference is transparent
  audio=false             without the driving clip's sound;  loop=pingpong  forwards and backwards
  output_metadata=false   leave the settings out of the mp4's comment tag

  --cfg job               print the whole configuration and stop
  -m                      sweep: seed=0,1,2 -m  (hydra/launcher=joblib or submitit_slurm runs them side by side);
                          the folder of each job holds its result, without output=
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    from motionkit.cli.hydra_app import run

    return run("transfer", transfer, argv)


def transfer(config: TransferConfig, start: Start) -> None:
    """One run, from a typed configuration to files.

    Raises:
        UserError: anything that the user can mend; whatever is cheap to see is seen before torch loads.
    """
    from motionkit.cli.words import request_of
    from motionkit.running.request import check

    request = request_of(config, start)
    plan = check(request, progress(config.progress), say)
    result = plan.execute(announce=lambda memory: say("\n".join(memory.lines())))
    if result.manifest["plan"] != asdict(plan.memory):
        for line in type(plan.memory)(**result.manifest["plan"]).lines():
            say(line)
    print(request.output or result.folder / "result.mp4")


def say(line: str) -> None:
    """A line for the user that is no result, on stderr."""
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
