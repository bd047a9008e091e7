"""`motionkit train`: train a method's own networks."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.cli.key_help import told
from motionkit.cli.schemas import TrainConfig
from motionkit.errors import Cancelled, UserError
from motionkit.settings.config import check_seed
from motionkit.settings.setting import check_limits

if TYPE_CHECKING:
    from motionkit.cli.hydra_app import JobFolders
    from motionkit.training.job import DataConfig

HELP = f"""usage: motionkit train method=NAME [key=value ...] [-m] [--cfg job]

{told(TrainConfig, "method=NAME data=sprites steps=N seed=0 size=N train.KEY=VALUE gpu=NAME")}
{told(TrainConfig, "output=FOLDER resume=true progress=NAME tracker=NAME validate=500")}

  --cfg job               print the whole configuration and stop
  -m                      sweep: seed=0,1,2 -m
"""


_STARTS = ("-m", "--multirun", "-r", "--run")  # other flags only show something


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    from motionkit.cli.hydra_app import run
    from motionkit.cli.quoting import split

    flags, overrides = split(argv)
    chosen = any(word.lstrip("+~").startswith("method=") for word in overrides)
    if not chosen and not set(flags) - set(_STARTS):
        raise UserError(f"train needs a method: give method=NAME, one of {', '.join(_with_trainer()) or 'none'}")
    return run("train", train, [rewritten for word in argv for rewritten in data_folder(word)])


def _with_trainer() -> list[str]:
    from motionkit import registry

    return [name for name in registry.names() if registry.spec(name).trainer]


def data_folder(word: str) -> list[str]:
    """`data=FOLDER` as the group option and path that it is short for; any other word as it is."""
    key, equals, value = word.partition("=")
    if key == "data" and equals and (Path(value).expanduser().is_dir() or "/" in value):
        return ["data=folder", f"data.path={value}"]
    return [word]


def train(config: TrainConfig, start: JobFolders) -> None:
    """One training run, from a typed configuration.

    Raises:
        UserError: the method has no trainer, or anything else that the user can fix.
    """
    from motionkit import registry
    from motionkit.cli.transfer import progress
    from motionkit.context import Reporter
    from motionkit.media.output_files import check_writable
    from motionkit.running.choices import method_settings
    from motionkit.running.progress import Announced
    from motionkit.running.request import plan_for
    from motionkit.running.step_errors import noted
    from motionkit.settings.config import refuse_empty, typed
    from motionkit.settings.setting import plain
    from motionkit.training import accelerate_tracker
    from motionkit.training.job import TrainJob

    accelerate_tracker.check(config.tracker)
    refuse_empty(config, ("output",))
    spec = registry.spec(config.method["name"])
    if spec.trainer is None:
        raise UserError(f"{spec.name} has nothing to train; these have: {', '.join(_with_trainer()) or 'none'}")
    _check_numbers(config)
    settings = method_settings(spec, config.method)
    options = typed(registry.load_object(spec.train_config), config.train, "train.") if spec.train_config else None
    data = _data_of(config, start)
    folder = start.resolve(config.output) if config.output else start.folder
    check_writable(folder)
    watch = progress(config.progress)
    plan = plan_for(config.gpu)
    facts = {"method": spec.name, "data": plain(data), "steps": config.steps, "seed": config.seed, "size": config.size}
    facts |= {"train": plain(options) if options else {}}
    run, every = f"{spec.name}-{folder.name}", config.validate
    job = TrainJob(
        settings,
        data,
        plan,
        folder,
        options,
        config.steps,
        config.seed,
        _frame(config.size),
        config.resume,
        Reporter(Announced(watch, lambda: print("\n".join(plan.lines()), file=sys.stderr))),
        accelerate_tracker.make(config.tracker, folder, run, facts, every, plan.device),
    )
    try:
        trainer = registry.load_object(spec.trainer)
        with noted(spec, "training"):
            made = trainer(job)
        print(made)
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled(_how_to_go_on(config, folder)) from None


def _data_of(config: TrainConfig, start: JobFolders) -> DataConfig:
    """What is trained on, its folder where it is. Raises: UserError: no such folder or setting."""
    from motionkit.settings.config import typed
    from motionkit.sprites.kinds import SETTINGS
    from motionkit.training.job import DataConfig

    data = typed(DataConfig, config.data, "data.")
    if data.setting not in SETTINGS:
        raise UserError(f"data.setting={data.setting}: give {' or '.join(SETTINGS)}")
    if data.name == "folder" and not data.path:
        raise UserError("data=folder needs data.path=FOLDER, a folder of clips")
    if data.path:
        data.path = str(start.resolve(data.path))
        if not Path(data.path).is_dir():
            raise UserError(f"data: no such folder: {data.path}")
    return data


def _check_numbers(config: TrainConfig) -> None:
    check_seed(config.seed)
    value = config.steps
    if value is not None and value < 1:
        raise UserError(f"steps={value}: give 1 or more, or leave steps= out for the trainer's default")
    _frame(config.size)
    check_limits("validate", config.validate, 0, None)


def _frame(size: str | int | None) -> int | tuple[int, int] | None:
    """A size as the job has it. Raises: UserError for what is none."""
    from motionkit.running.canvas import parse_size

    if size is None:
        return None
    height, width = parse_size(size)
    if min(height, width) < 1:
        raise UserError(f"size={size}: give 1 or more, or leave size= out for the trainer's default")
    return height if height == width else (height, width)


def _how_to_go_on(config: TrainConfig, folder: Path) -> str:
    if not folder.is_dir() or not any(folder.iterdir()):
        return "cancelled before anything was saved"
    changes = [] if config.output else [f"with output={shlex.quote(str(folder))}"]
    changes += [] if config.resume else ["without resume=false"]
    changed = f", {' and '.join(changes)}," if changes else ""
    return f"cancelled; progress is saved in {folder}: the same command{changed} resumes"
