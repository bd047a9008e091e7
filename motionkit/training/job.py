"""What `motionkit train` hands to a method's trainer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.context import NullProgress, Reporter
from motionkit.errors import UserError
from motionkit.media import replacing
from motionkit.settings.setting import setting
from motionkit.training import state_files
from motionkit.training.tracker import NullTracker, Tracker
from motionkit.weights.model_files import read_json

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan
    from motionkit.training.workers import Workers


@dataclass
class DataConfig:
    """The `data` group: what to train on."""

    name: str = setting(
        "What to train on.", "sprites", choices={"sprites": "the procedural world", "folder": "clips on disk"}
    )
    path: str | None = setting("For folder: the folder of clips; null for none.", None)
    setting: str = setting(
        "For sprites: how varied the characters and scenes are.",
        "easy",
        choices={
            "easy": "light backgrounds, simple looks",
            "full": "also dark backgrounds and outlines",
            "wild": "most varied: other proportions, looks and backgrounds too",
        },
    )


@dataclass
class TrainJob:
    """One training run.

    Attributes:
        config: the method's configuration dataclass (`method.` on the command line).
        options: an instance of the method's `train_config`, or None when it declares none.
        data: what to train on; its path is absolute.
        steps: optimiser steps, or None for the trainer's own number.
        size: of the frames, a side or (height, width) in pixels, or None for the trainer's own.
        folder: checkpoints, curve and weights go here, and nowhere else.
        resume: continue from the last checkpoint in `folder` instead of starting over.
        tracker: receives the values of every step.
    """

    config: Any
    data: DataConfig
    plan: Plan
    folder: Path
    options: Any = None
    steps: int | None = None
    seed: int = 0
    size: int | tuple[int, int] | None = None
    resume: bool = True
    progress: Reporter = field(default_factory=lambda: Reporter(NullProgress()))
    tracker: Tracker = field(default_factory=NullTracker)

    def seen_by(self, workers: Workers) -> TrainJob:
        """The job for one of several processes: only the first shows progress and feeds the tracker."""
        if not workers.rank:
            return self
        return replace(self, progress=Reporter(NullProgress()), tracker=NullTracker())

    def made(self, method: str, backbone: str, key: str, files: list[str]) -> dict[str, Any]:
        """What the weights are, for the record: of which method, on which backbone, and how they are used.

        Args:
            key: by which they are chosen, such as "method.weights".
            files: their names in `folder`; of a folder's files the names begin inside it.
        """
        how = {"method": method, "backbone": backbone, "key": key, "files": files}
        return {"made": how | {"data": self.data.name, "setting": self.data.setting}}

    def frame(self, own: tuple[int, int], multiple: int, name: str) -> tuple[int, int]:
        """(height, width) of the frames: as requested, else the trainer's default.

        Raises: UserError: a side is not a multiple of what the backbone `name` needs.
        """
        asked = own if self.size is None else self.size
        height, width = (asked, asked) if isinstance(asked, int) else asked
        if any(side % multiple or side < multiple for side in (height, width)):
            said = f"{height}" if height == width else f"{width}x{height}"
            raise UserError(f"size={said}: {name} needs multiples of {multiple}")
        return height, width

    def side(self, own: int, multiple: int, name: str) -> int:
        """The same for a trainer that needs square frames. Raises: UserError for any other shape too."""
        height, width = self.frame((own, own), multiple, name)
        if height != width:
            raise UserError(f"size={width}x{height}: this trainer needs square frames: give size={min(height, width)}")
        return height

    def claim(self, facts: dict[str, Any], phases: tuple[str, ...] = (".",)) -> None:
        """Begin the folder's record `run.json`, or check that a checkpoint there belongs to a run with the same facts.

        With resume=false the files of an earlier run are removed first.

        Args:
            phases: sub-folders that hold the checkpoints of a training in several phases.

        Raises:
            UserError: naming what differs.
        """
        file = self.folder / "run.json"
        facts = json.loads(json.dumps(facts))  # as they will be read again
        if not self.resume:
            for phase in phases:
                state_files.remove(self.folder / phase)
                (self.folder / phase / "curve.csv").unlink(missing_ok=True)
            file.unlink(missing_ok=True)
        if file.exists() and any(state_files.found(self.folder / phase) for phase in phases):
            held = read_json(file)
            if other := [key for key, value in facts.items() if held.get(key) != value]:
                raise UserError(
                    f"{self.folder} holds a run with other settings ({', '.join(other)}): give another "
                    f"output=, or resume=false to start over there"
                )
        with replacing(file) as part:
            part.write_text(json.dumps(facts, indent=1) + "\n")
