"""What `motionkit train` hands to a method's trainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.progress import NullProgress, Reporter

if TYPE_CHECKING:
    from motionkit.gpu import Plan


@dataclass
class DataConfig:
    """The `data` group: what to train on.

    Attributes:
        name: "sprites" (the procedural world) or "folder" (clips on disk).
        path: the folder of clips, for "folder".
        setting: "easy" or "full", for "sprites".
    """

    name: str = "sprites"
    path: str | None = None
    setting: str = "easy"


@dataclass
class TrainJob:
    """One training run.

    Attributes:
        config: the method's configuration dataclass (`method.` on the command line).
        options: an instance of the method's `train_config`, or None when it declares none.
        data: what to train on; its path is absolute.
        steps: optimiser steps, or None for the trainer's own number.
        size: side of the square frames, or None for the trainer's own.
        folder: checkpoints, curve and weights go here, and nowhere else.
        resume: go on from the last checkpoint in `folder` instead of starting again.
    """

    config: Any
    data: DataConfig
    plan: Plan
    folder: Path
    options: Any = None
    steps: int | None = None
    seed: int = 0
    size: int | None = None
    resume: bool = True
    progress: Reporter = field(default_factory=lambda: Reporter(NullProgress()))
