"""A training's state in several safetensors files and an index, which is written last: a kill leaves the state before.

Each file is copied off the card, halved and written by itself, so that no second copy of the whole state is made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from motionkit.errors import UserError
from motionkit.training import state_files
from motionkit.weights.model_files import first_line, read_json

NETWORKS, OPTIMISERS = ("model", "ema"), ("optimizer", "muon")


def write(state: Mapping[str, Any], folder: Path, size: int, stored: Callable[[str, Tensor], Tensor]) -> None:
    """Write a state as files of at most `size` bytes (a larger tensor has its own), then the index that names them.

    Args:
        stored: a part's name and one of its tensors -> what is kept of it.
    """
    slot = state_files.free_slot(folder)
    for old in state_files.of_slot(folder, slot):
        old.unlink()
    tensors = named(state)
    split = split_torch_state_dict_into_shards(
        tensors, filename_pattern=f"last-{slot}{{suffix}}.safetensors", max_shard_size=size
    )
    for name, keys in split.filename_to_tensors.items():
        part = folder / f"{name}.part"
        save_file(_apart({key: stored(key.partition("/")[0], tensors[key]) for key in keys}), part, {"format": "pt"})
        _settle(part, folder / name)
    where = {key: name for name, keys in split.filename_to_tensors.items() for key in keys}
    rest = {key: value for key, value in state.items() if key not in (*NETWORKS, *OPTIMISERS, "scale")}
    groups = {key: state[key]["param_groups"] for key in OPTIMISERS if key in state}
    part = (folder / state_files.INDEX).with_suffix(".part")
    part.write_text(json.dumps({"slot": slot, "state": rest, "groups": groups, "weight_map": where}, indent=1) + "\n")
    _settle(part, folder / state_files.INDEX)
    state_files.remove(folder, {state_files.INDEX, *split.filename_to_tensors})


def read(index: Path, mapped: bool) -> dict[str, Any]:
    """The state that an index names; its tensors lie in the files themselves where they are `mapped`.

    Raises:
        UserError: a file is missing or damaged.
    """
    tensors: dict[str, Tensor] = {}
    for name, keys in state_files.shards(index).items():
        try:
            with safe_open(index.parent / name, "pt") as source:
                held = {key: source.get_tensor(key) for key in keys}
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{index.parent / name} is damaged or cut short ({first_line(error)}): give resume=false to start over"
            ) from error
        tensors |= held if mapped else {key: value.clone() for key, value in held.items()}
    found = read_json(index)
    state: dict[str, Any] = dict(found["state"]) | {name: {} for name in NETWORKS}
    state |= {name: {"state": {}, "param_groups": groups} for name, groups in found["groups"].items()}
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        if part in OPTIMISERS:
            number, _, inner = name.partition("/")
            state[part]["state"].setdefault(int(number), {})[inner] = value
        elif part in NETWORKS:
            state[part][name] = value
        else:
            state[part] = value
    return state


def named(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """All tensors of a state: model/NAME, ema/NAME, optimizer/NUMBER/NAME, muon/NUMBER/NAME, scale."""
    found = {f"{part}/{name}": value for part in NETWORKS for name, value in state[part].items()}
    for part in OPTIMISERS:
        for number, held in state.get(part, {"state": {}})["state"].items():
            found |= {f"{part}/{number}/{name}": value for name, value in held.items()}
    return found | ({"scale": state["scale"]} if "scale" in state else {})


def bytes_of(state: Mapping[str, Any]) -> int:
    """What the tensors of a state take before any is halved."""
    return sum(value.nbytes for value in named(state).values())


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Off the card, and no two of them in one piece of memory, which the format refuses (tied weights are)."""
    seen: set[int] = set()
    found = {}
    for key, value in tensors.items():
        value = value.detach().cpu().contiguous()
        place = value.untyped_storage().data_ptr()
        found[key] = value.clone() if place in seen else value
        seen.add(place)
    return found


def _settle(part: Path, final: Path) -> None:
    """Give a file its name once it is on the disk: an index must never outlive a power cut that its files do not."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, final)
