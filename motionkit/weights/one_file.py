"""One file of weights under its authors' names: read without running code, put into models name by name, strictly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.weights.building import on_meta
from motionkit.weights.model_files import first_line
from motionkit.weights.pickles import read_tensors
from motionkit.weights.reading import all_finite, as_layer


@dataclass(frozen=True)
class Source:
    """Where a weight lies in a file: its name there, which third of it (first side), and whether it is turned."""

    key: str
    third: int | None = None
    turned: bool = False

    def shape(self, held: tuple[int, ...]) -> tuple[int, ...]:
        """The weight's shape, of one of that shape in the file."""
        if self.third is not None:
            held = (held[0] // 3, *held[1:])
        return held[::-1] if self.turned else held

    def take(self, value: Tensor) -> Tensor:
        """The weight, of what the file holds under the name."""
        if self.third is not None:
            value = value.chunk(3)[self.third]  # (3 C, ...) to (C, ...)
        return value.T if self.turned else value


class OneFile:
    """The tensors of a file by name, read when they are asked for (safetensors) or mapped (pickles of PyTorch 1.6 on).

    Attributes:
        shapes: name -> shape of every tensor.
    """

    def __init__(self, file: Path) -> None:
        """Raises: UserError in one line for a file that is damaged or holds more than plain data."""
        self.file = file
        self._held: dict[str, Tensor] = {}
        if file.suffix == ".safetensors":
            self._source = self._opened()
            names = {key: tuple(self._source.get_slice(key).get_shape()) for key in self._source.keys()}  # noqa: SIM118
        else:
            self._held = read_tensors(file)
            names = {key: tuple(value.shape) for key, value in self._held.items()}
        self._real = {key.removeprefix("module."): key for key in names}
        self.shapes = {key: names[real] for key, real in self._real.items()}

    def _opened(self) -> Any:
        try:
            return safe_open(self.file, "pt")
        except (SafetensorError, OSError) as error:
            raise UserError(f"{self.file} is damaged or cut short ({first_line(error)}): get it again") from error

    def __getitem__(self, key: str) -> Tensor:
        """Raises: UserError for values that are not finite."""
        real = self._real[key]
        value = self._held[real] if self._held else self._source.get_tensor(real)
        if not all_finite(value):
            raise UserError(f"{self.file}: {key} holds NaN or infinity: the file is damaged or its training broke")
        return value


def fill(
    build: Callable[[], nn.Module],
    held: OneFile,
    find: Callable[[Collection[str]], Mapping[str, Source]],
    dtype: torch.dtype,
    title: str,
    made: Collection[str] = (),
) -> tuple[nn.Module, set[str]]:
    """The model that `build` makes with its weights from a file, and the names in the file that were used.

    Args:
        find: all names of weights in the model -> where each lies in the file.
        made: endings of names that the model makes itself where the file lacks them (position tables).

    Raises:
        UserError: in one line for missing weights, other shapes, values that are not finite.
    """
    with on_meta():
        model = build()
    state = model.state_dict()
    found = find(list(state))
    lost = [name for name, source in found.items() if source.key not in held.shapes]
    absent = [name for name in lost if not (name.endswith(tuple(made)) if made else False)]
    if absent:
        raise UserError(
            f"{held.file} lacks {len(absent)} of {len(state)} weights of the {title}, e.g. {found[absent[0]].key}"
        )
    tensors = {name: state[name].to(dtype) for name in lost}
    for name, source in found.items():
        if name in tensors:
            continue
        shape, wanted = source.shape(held.shapes[source.key]), tuple(state[name].shape)
        if shape != wanted and _bare(shape) != _bare(wanted):
            raise UserError(
                f"{held.file}: {source.key} has shape {list(held.shapes[source.key])}, the {title} here "
                f"has {list(wanted)}: it is another model"
            )
        tensors[name] = as_layer(source.take(held[source.key]), wanted).to(dtype).contiguous()
    model.load_state_dict(tensors, assign=True)
    used = {source.key for name, source in found.items() if name not in lost}
    return model.eval().requires_grad_(False), used


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1, 1) else shape
