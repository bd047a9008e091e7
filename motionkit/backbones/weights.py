"""Models from a configuration and safetensors files: strict names and shapes, nothing random, nothing unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from motionkit.backbones.files import read_json, weight_files
from motionkit.errors import UserError

_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def read_config(file: Path, class_name: str | None = None) -> dict[str, Any]:
    """A configuration without its private keys (which name code and kernels). Raises: UserError for another class."""
    config = read_json(file)
    found = config.get("_class_name", class_name)
    if class_name and found != class_name:
        raise UserError(f"{file} describes a {found}, not a {class_name}: this folder holds another kind of model")
    return {k: v for k, v in config.items() if not k.startswith("_") and k not in ("auto_map", "quantization_config")}


def load_model(build: Callable[[], nn.Module], folder: Path, stem: str, dtype: torch.dtype) -> nn.Module:
    """The model that `build` makes, with the weights of `folder` in `dtype`; peak memory is one copy of the model.

    Raises: UserError in one line for a configuration that builds nothing, a damaged file, missing or unknown names,
    other shapes, and values that are not finite.
    """
    try:
        with init_empty_weights():
            model = build()
    except Exception as error:
        raise UserError(f"{folder / 'config.json'} builds no model: {_first_line(error)}") from error
    wanted = {_plain(name): name for name in model.state_dict()}
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder, stem):
        try:
            with safe_open(file, "pt") as source:
                _check(file, {k: tuple(source.get_slice(k).get_shape()) for k in source.keys()}, wanted, model)
                for key in source.keys():  # noqa: SIM118 (not a dict)
                    if (name := wanted.get(_plain(key))) is not None:
                        tensors[name] = _finite(source.get_tensor(key), file, key).to(dtype)
        except (SafetensorError, OSError) as error:
            pointer = file.is_file() and file.stat().st_size < 1000 and b"git-lfs" in file.read_bytes()
            why = "a git-lfs pointer, not the weights" if pointer else f"damaged or cut short ({_first_line(error)})"
            raise UserError(f"{file} is {why}: get it again") from error
    if lost := sorted(set(wanted.values()) - set(tensors)):
        raise UserError(f"{folder} lacks {len(lost)} of {len(wanted)} weights, e.g. {lost[0]}: not the model that its "
                        f"config.json describes")  # fmt: skip
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False)


def _check(file: Path, shapes: dict[str, tuple[int, ...]], wanted: dict[str, str], model: nn.Module) -> None:
    """Compare the file's header with the model before any value is read."""
    state = model.state_dict()
    unknown = [k for k in shapes if _plain(k) not in wanted and not k.endswith("position_ids")]
    if unknown:
        raise UserError(f"{file} holds {len(unknown)} weights that its config.json has no place for, e.g. {unknown[0]}")
    for key, shape in shapes.items():
        if (name := wanted.get(_plain(key))) and tuple(state[name].shape) != shape:
            raise UserError(f"{file}: {key} has shape {list(shape)}, its config.json says {list(state[name].shape)}")


def _plain(name: str) -> str:
    """A weight's name without the spellings that changed between library versions."""
    name = name.removeprefix("text_model.")
    if "mid_block.attentions" in name:
        for old, new in _OLD_ATTENTION.items():
            name = name.replace(old, new)
    return name


def _finite(tensor: Tensor, file: Path, key: str) -> Tensor:
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise UserError(f"{file}: {key} holds NaN or infinity: the file is damaged or its training broke")
    return tensor


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
