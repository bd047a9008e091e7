"""Small networks in one safetensors file with their constructor arguments and their own measured error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from motionkit.errors import MissingWeights, UserError
from motionkit.weights import eight_bit
from motionkit.weights.building import drawing


def save_net(path: Path, net: nn.Module, config: dict[str, Any], figures: dict[str, float], half: bool = True) -> None:
    """Write a network under its final name when it is complete.

    Args:
        config: constructor arguments, plain values.
        figures: its own error, to be stated beside its results.
        half: in fp16, else as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {k: (v.half() if half and v.is_floating_point() else v).contiguous() for k, v in net.state_dict().items()}
    part = path.with_suffix(".part")
    save_file(state, part, {"config": json.dumps(config), "figures": json.dumps(figures)})
    os.replace(part, path)


def load_net(path: Path, build: Callable[..., nn.Module], title: str, get: str) -> tuple[nn.Module, dict[str, float]]:
    """A network in eval mode without gradients, in float32, and its own figures; strict names and shapes.

    Args:
        build: called with the constructor arguments that the file holds (none where it holds none).
        title: what messages call it.  get: how to get a missing file, such as "train it with `make train-pose`".

    Raises:
        MissingWeights: no such file.
        UserError: not a file of this network.
    """
    if not path.is_file():
        raise MissingWeights(f"no weights at {path}: {get}")
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        with drawing():  # its initial weights are random
            net = build(**json.loads(said.get("config", "{}")))
        net.load_state_dict(eight_bit.unpack_all(state))
        figures = json.loads(said["figures"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is not a usable {title} file: {str(error).splitlines()[0]}") from error
    return net.eval().requires_grad_(False), figures
