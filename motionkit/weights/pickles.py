"""Pickled weights, read as plain data by torch's own reader of such: nothing that a file may hold is run."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motionkit.errors import UserError
from motionkit.weights.model_files import first_line

_WRAPPERS = ("state_dict", "model")  # where a training program puts the weights beside other things


class Nothing:
    """Stands for an object of a training program in a pickle: nothing of it runs and nothing is kept."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors by name, mapped where the format allows it; what PyTorch Lightning keeps beside them is let go.

    Raises: UserError in one line for what is damaged or holds more than plain data.
    """
    try:
        zipped = zipfile.is_zipfile(file)
        known = torch.serialization.get_unsafe_globals_in_checkpoint(file) if zipped else []
        idle: list[Any] = [(Nothing, name) for name in known if name.startswith(("pytorch_lightning.", "lightning."))]
        with torch.serialization.safe_globals(idle), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a pickle is of a newer kind than torch writes
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except OSError as error:
        raise UserError(f"cannot read {file}: {first_line(error)}") from error
    except Exception as error:  # torch names a refused pickle and a broken archive in many ways
        raise UserError(
            f"{file} is a pickle that holds more than plain tensors, or is damaged: nothing is read from it, get the "
            "weights as .safetensors"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise UserError(f"{file} holds no tensors by name: it is no file of weights")
    return tensors


class Opened:
    """A pickle's tensors behind the interface of an open safetensors file."""

    def __init__(self, file: Path) -> None:
        self._held = read_tensors(file)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *what: object) -> None:
        self._held = {}

    def keys(self) -> list[str]:
        """The names."""
        return list(self._held)

    def get_slice(self, key: str) -> _Shape:
        """What knows a tensor's shape."""
        return _Shape(self._held[key])

    def get_tensor(self, key: str) -> Tensor:
        """A tensor."""
        return self._held[key]


class _Shape:
    def __init__(self, value: Tensor) -> None:
        self._value = value

    def get_shape(self) -> list[int]:
        return list(self._value.shape)
