"""Unfinished trainings as small files: averaged weights in eight bits, the step, the seconds and the curve.

A training that finds no checkpoint starts from these. They leave out the optimisers' state and have a sixth of the
size; the rates warm up again instead.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from motionkit.errors import UserError
from motionkit.training.loop import Loop, write_record
from motionkit.weights import eight_bit


def hand_over(loop: Loop, folder: Path, facts: dict[str, Any] | None = None) -> int:
    """Writes `weights.safetensors`, `state.json` and `curve.csv`; returns the bytes of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "weights.safetensors"
    save_file(eight_bit.pack({k: v.detach().cpu() for k, v in loop.ema.state_dict().items()}), file, {"format": "pt"})
    state = {"step": loop.step, "steps": loop.settings.steps, "seconds": round(loop.seconds)}
    write_record(folder / "state.json", state | (facts or {}))
    curve = loop.settings.folder / "curve.csv"
    if curve.exists():
        shutil.copy2(curve, folder / "curve.csv")
    return file.stat().st_size


def take_over(loop: Loop, folder: Path) -> bool:
    """Start a loop without a checkpoint from the files of the folder; False when there are none.

    A loop of another number of steps (with a larger batch, say) begins at the same share of them.

    Raises:
        UserError: the weights are of another model.
    """
    file = folder / "weights.safetensors"
    if loop.checkpoint or not file.exists():
        return False
    weights = eight_bit.unpack_all(load_file(file))
    try:
        for model in (loop.model, loop.ema):
            model.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{file} belongs to another model ({first}): delete it to train from the start") from error
    state = json.loads((folder / "state.json").read_text())
    share = int(state["step"]) / max(int(state["steps"]), 1)
    loop.step, loop.seconds = round(share * loop.settings.steps), float(state["seconds"])
    loop.begun = loop.step
    if (folder / "curve.csv").exists():
        shutil.copy2(folder / "curve.csv", loop.settings.folder / "curve.csv")
    loop.save()
    return True
