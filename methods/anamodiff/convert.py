"""Public first-order-model checkpoints (.pth.tar) to a keypoints file: `motionkit convert anamodiff SOURCE FILE`.

Weights: those of the first-order-model repository (MIT); only the keypoint detector is of use on latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motionkit.errors import UserError, unknown

from .keypoints import KPDetector
from .weights import save_network

_OPTIONS: dict[str, type] = {"pad": int, "temperature": float}
_SCALES = {5: 0.5, 13: 0.25, 29: 0.125}  # width of the anti-aliasing kernel -> input scale


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The keypoint detector's state dict, read without executing anything that the file might hold.

    Raises:
        UserError: not such a file, or one that holds more than tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors for refused pickles and broken archives
        reason = "no such file" if not path.exists() else "it is damaged or holds more than weights; nothing was run"
        raise UserError(f"cannot read {path} as a first-order-model checkpoint: {reason}") from error
    state = content.get("kp_detector", content) if isinstance(content, Mapping) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if "kp.weight" not in tensors:
        raise UserError(f"{path} holds no keypoint detector (no kp_detector with kp.weight)")
    return tensors


def arguments_of(state: Mapping[str, Tensor], pad: int = 0, temperature: float = 0.1) -> dict[str, Any]:
    """The detector's constructor arguments, read off the shapes of its weights.

    Args:
        pad, temperature: leave no trace in the weights; the public ones have 0 and 0.1.
    """
    down = [
        state[f"predictor.encoder.down_blocks.{i}.conv.weight"] for i in range(_count(state, "encoder.down_blocks"))
    ]
    last = f"predictor.decoder.up_blocks.{len(down) - 1}.conv.weight"
    width, points = len(state[last]), len(state["kp.weight"])
    jacobian = state.get("jacobian.weight")
    blur = state.get("down.weight")
    return {
        "num_kp": points,
        "num_channels": down[0].shape[1],
        "block_expansion": width,
        "num_blocks": len(down),
        "max_features": max(len(weight) for weight in down),
        "estimate_jacobian": jacobian is not None,
        "single_jacobian_map": jacobian is not None and len(jacobian) == 4 and points > 1,
        "scale_factor": 1 if blur is None else _SCALES[blur.shape[-1]],
        "temperature": temperature,
        "pad": pad,
    }


def _count(state: Mapping[str, Tensor], part: str) -> int:
    return len({name.split(".")[3] for name in state if name.startswith(f"predictor.{part}.")})


def convert(source: Path, target: Path, pad: int = 0, temperature: float = 0.1) -> dict[str, Any]:
    """Write a keypoints file from a public checkpoint; returns the detector's arguments.

    Raises:
        UserError: the checkpoint cannot be used.
    """
    state = read_checkpoint(source)
    try:
        arguments = arguments_of(state, pad, temperature)
        detector = KPDetector(**arguments)
        counters = {k: v for k, v in detector.state_dict().items() if k.endswith("num_batches_tracked")}
        detector.load_state_dict(counters | state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{source}: its keypoint detector is not supported ({str(error).splitlines()[0]})") from error
    save_network(target, "keypoints", arguments, detector.state_dict(), source="first-order-model", size=256)
    return arguments


def run(source: Path, target: Path, options: Mapping[str, str]) -> str:
    """What `motionkit convert` calls; returns what to print. Options: pad, temperature, as in `convert`.

    Raises:
        UserError: an unknown option, not a number, or a checkpoint that cannot be used.
    """
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in _OPTIONS:
            raise unknown("option", name, _OPTIONS)
        try:
            values[name] = _OPTIONS[name](text)
        except ValueError as error:
            raise UserError(f"{name}={text} is not a number") from error
    arguments = convert(source, target, **values)
    return f"{target}: {arguments['num_kp']} keypoints; use it with train.keypoints={target}"
