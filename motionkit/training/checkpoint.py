"""The checkpoint file of a training: weights, their moving averages, the optimisers' moments and the step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.training.loop import Loop


def write(loop: Loop, path: Path) -> None:
    """Write the state under a temporary name, then rename it."""
    state = {
        "model": loop.model.state_dict(),
        "ema": loop.ema.state_dict(),
        "optimizer": loop.optimizer.state_dict(),
        "step": loop.step,
        "seconds": loop.seconds,
        "begun": loop.begun,
    }
    if loop.muon:
        state["muon"] = loop.muon.state_dict()
    if loop.scale.dynamic:
        state["scale"] = loop.scale.state()
    if loop.settings.half:
        state |= {name: halved(state[name]) for name in ("ema", "optimizer", "muon") if name in state}
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def halved(state: Any) -> Any:
    """A state with its float32 tensors of more than one number in bfloat16, and off the card: they are copies."""
    if isinstance(state, torch.Tensor):
        return state.bfloat16().cpu() if state.dtype == torch.float32 and state.numel() > 1 else state
    if isinstance(state, Mapping):
        return {key: halved(value) for key, value in state.items()}
    return [halved(value) for value in state] if isinstance(state, list) else state


def copy_to(folder: Path, path: Path) -> None:
    """Copy the file, under the name of its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = folder / f"{path.parent.name}.pt"
    shutil.copy2(path, copied.with_suffix(".part"))
    os.replace(copied.with_suffix(".part"), copied)


def opened(path: Path, device: torch.device) -> Any:
    """A file's state; for a network on a card it is mapped, so that processes that share a machine hold it once."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=device.type != "cpu")


def read(loop: Loop, path: Path) -> None:
    """Load a file's state into a loop; the loss scale may be missing, as in files from before it was stored.

    Raises:
        UserError: the state is of another model.
    """
    state = opened(path, next(loop.model.parameters()).device)
    try:
        loop.model.load_state_dict(state["model"])
        loop.ema.load_state_dict(state["ema"])
        loop.optimizer.load_state_dict(state["optimizer"])
        if loop.muon:
            loop.muon.load_state_dict(state["muon"])
    except (RuntimeError, KeyError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path} belongs to another model ({first}): give another folder or delete the file") from error
    loop.step, loop.seconds, loop.begun = int(state["step"]), float(state["seconds"]), int(state.get("begun", 0))
    if "scale" in state:
        loop.scale.restore(state["scale"])
