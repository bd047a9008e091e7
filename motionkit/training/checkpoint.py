"""The checkpoint of a training: weights, their moving averages, the optimisers' moments and the step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from motionkit.errors import UserError
from motionkit.training import shards, state_files

if TYPE_CHECKING:
    from motionkit.training.loop import Loop

HALVED = ("ema", "optimizer", "muon")  # what a half checkpoint keeps in bfloat16; the weights stay as they are


def write(loop: Loop, folder: Path) -> None:
    """Write the state into a folder, as one file or, where it is larger than `settings.shard`, as several."""
    state, settings = _state(loop), loop.settings
    if settings.shard and shards.bytes_of(state) > settings.shard:
        shards.write(state, folder, settings.shard, _stored if settings.half else lambda part, tensor: tensor)
        return
    if settings.half:
        state |= {name: halved(state[name]) for name in HALVED if name in state}
    part = (folder / state_files.SINGLE).with_suffix(".part")
    torch.save(state, part)
    os.replace(part, folder / state_files.SINGLE)
    state_files.remove(folder, {state_files.SINGLE})


def _state(loop: Loop) -> dict[str, Any]:
    state: dict[str, Any] = {
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
    return state


def _stored(part: str, tensor: torch.Tensor) -> torch.Tensor:
    return halved(tensor) if part in HALVED else tensor


def halved(state: Any) -> Any:
    """A state with its float32 tensors of more than one number in bfloat16, and off the card: they are copies."""
    if isinstance(state, torch.Tensor):
        return state.bfloat16().cpu() if state.dtype == torch.float32 and state.numel() > 1 else state
    if isinstance(state, Mapping):
        return {key: halved(value) for key, value in state.items()}
    return [halved(value) for value in state] if isinstance(state, list) else state


def copy_to(folder: Path, source: Path) -> None:
    """Copy the state in `source` under the name of its folder: NAME.pt, or a folder NAME with an index."""
    held = state_files.found(source)
    if held is None:
        return
    several = held.name == state_files.INDEX
    place = folder / source.name if several else folder
    place.mkdir(parents=True, exist_ok=True)
    names = [*state_files.shards(held), held.name] if several else [held.name]  # the index last
    for name in names:
        copied = place / (name if several else f"{source.name}.pt")
        shutil.copy2(source / name, copied.with_suffix(".part"))
        os.replace(copied.with_suffix(".part"), copied)
    if several:
        state_files.remove(place, names)


def opened(path: Path, device: torch.device) -> Any:
    """A state from its file or index; for a network on a card it is mapped, so that several processes hold it once.

    Raises:
        UserError: a file that an index names is missing or damaged.
    """
    if path.name == state_files.INDEX:
        return shards.read(path, mapped=device.type != "cpu")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=device.type != "cpu")


def read(loop: Loop, path: Path) -> None:
    """Load a state into a loop; the loss scale may be missing, as in files from before it was stored.

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
