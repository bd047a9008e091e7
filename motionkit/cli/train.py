"""`motionkit train`: train a method's own networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.cli.hydra_app import Start
    from motionkit.config import TrainConfig

HELP = """usage: motionkit train method=NAME [key=value ...] [-m] [--cfg job]

  method=NAME             a method that has a trainer; its settings are method.KEY=VALUE
  data=sprites            the procedural world; data.setting=easy|full
  data=FOLDER             a folder of clips (short for data=folder data.path=FOLDER)
  steps=N seed=0 size=N   default: the trainer's own
  train.KEY=VALUE         the trainer's own settings (`--cfg job` lists them)
  gpu=NAME                auto, cpu, 8gb, 12gb, 24gb, 80gb
  output=FOLDER           checkpoints, curve and weights; training in the same folder again goes on where it was
  resume=false            start again in that folder
  progress=terminal|jsonl|none

  --cfg job               print the whole configuration and stop
  -m                      sweep: seed=0,1,2 -m
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    from motionkit.cli.hydra_app import run

    return run("train", train, [rewritten for word in argv for rewritten in data_folder(word)])


def data_folder(word: str) -> list[str]:
    """`data=FOLDER` as the group option and path that it is short for; any other word as it is."""
    key, equals, value = word.partition("=")
    if key == "data" and equals and (Path(value).expanduser().is_dir() or "/" in value):
        return ["data=folder", f"data.path={value}"]
    return [word]


def train(config: TrainConfig, start: Start) -> None:
    """One training run, from a typed configuration.

    Raises:
        UserError: the method has no trainer, or anything else that the user can mend.
    """
    from motionkit import registry
    from motionkit.cli.transfer import progress
    from motionkit.config import method_settings, typed
    from motionkit.output import check_writable
    from motionkit.progress import Reporter
    from motionkit.run import plan_for
    from motionkit.trainjob import DataConfig, TrainJob

    spec = registry.spec(config.method["name"])
    if spec.trainer is None:
        with_trainer = [name for name in registry.names() if registry.spec(name).trainer]
        raise UserError(f"{spec.name} has nothing to train; these have: {', '.join(with_trainer) or 'none'}")
    settings = method_settings(spec, config.method)
    options = typed(registry.load_object(spec.train_config), config.train, "train.") if spec.train_config else None
    data = typed(DataConfig, config.data, "data.")
    if data.name == "folder" and not data.path:
        raise UserError("data=folder needs data.path=FOLDER, a folder of clips")
    if data.path:
        data.path = str(start.resolve(data.path))
        if not Path(data.path).is_dir():
            raise UserError(f"data: no such folder: {data.path}")
    folder = start.resolve(config.output) if config.output else start.folder
    check_writable(folder)
    plan = plan_for(config.gpu)
    print("\n".join(plan.lines()), file=sys.stderr)
    job = TrainJob(
        settings, data, plan, folder, options, config.steps, config.seed, config.size, config.resume,
        Reporter(progress(config.progress)),
    )  # fmt: skip
    print(registry.load_object(spec.trainer)(job))
