"""Models from a configuration and files of weights: strict names and shapes, nothing random, no code run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.weights import eight_bit
from motionkit.weights.building import on_meta
from motionkit.weights.model_files import first_line, read_json, weight_files
from motionkit.weights.pickles import Opened

OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def read_config(file: Path, class_name: str | None = None) -> dict[str, Any]:
    """A configuration without its private keys (which name code and kernels). Raises: UserError for another class."""
    config = read_json(file)
    found = config.get("_class_name", class_name)
    if class_name and found != class_name:
        raise UserError(f"{file} describes a {found}, not a {class_name}: this folder holds another kind of model")
    return {k: v for k, v in config.items() if not k.startswith("_") and k not in ("auto_map", "quantization_config")}


def load_model(
    build: Callable[[], nn.Module],
    folders: Sequence[Path],
    stem: str,
    dtype: torch.dtype,
    skip: tuple[str, ...] = (),
    lent_as: str = "",
) -> nn.Module:
    """The model that `build` makes, with the weights of its folder in `dtype`; peak memory is one copy of the model.

    `folders`: the model's own, and those that provide what it lacks (see `backbones.folders.part_folders`).
    `skip`: beginnings of names that belong to another model in the same file.
    `lent_as`: the prefix of provided weights' names here, such as "unet." where the provider is the UNet alone.
    Raises: UserError in one line for an invalid configuration, a damaged file, missing or unknown names,
    other shapes, and values that are not finite.
    """
    try:
        with on_meta():
            model = build()
    except Exception as error:
        raise UserError(f"{folders[0] / 'config.json'} does not describe a valid model: {first_line(error)}") from error
    state = model.state_dict()
    wanted = {_plain(name): name for name in state}
    tensors: dict[str, Tensor] = {}
    for file in (file for folder in folders for file in weight_files(folder, stem, pickled=True)):
        lent = file.parent != folders[0]
        try:
            with opened(file) as source:
                held = set(source.keys())
                names = {  # in the file -> here
                    key: key if not lent or _plain(key) in wanted else lent_as + key
                    for key in sorted(held)
                    if not (skip and key.startswith(skip)) and not key.endswith(eight_bit.SCALE)
                }
                if lent:  # it may hold weights that the model lacks, or holds in another shape
                    free = {plain for plain, name in wanted.items() if name not in tensors}
                    names = {key: here for key, here in names.items() if _plain(here) in free}
                shapes = {here: tuple(source.get_slice(key).get_shape()) for key, here in names.items()}
                _check(file, shapes, wanted, state, lent)
                for key, here in names.items():
                    name = wanted.get(_plain(here))
                    if name is not None and name not in tensors:
                        value = source.get_tensor(key)
                        if scale := eight_bit.scale_of(key, held):
                            value = eight_bit.unpack(value, source.get_tensor(scale))
                        value = _finite(value, file, key).to(dtype)
                        tensors[name] = as_layer(value, state[name].shape)
        except (SafetensorError, OSError) as error:
            pointer = file.is_file() and file.stat().st_size < 1000 and b"git-lfs" in file.read_bytes()
            why = "a git-lfs pointer, not the weights" if pointer else f"damaged or cut short ({first_line(error)})"
            raise UserError(f"{file} is {why}: get it again") from error
    if lost := sorted(set(wanted.values()) - set(tensors)):
        raise UserError(
            f"{folders[0]} lacks {len(lost)} of {len(wanted)} weights, e.g. {lost[0]}: not the model that "
            f"its config.json describes"
        )
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False)


def opened(file: Path) -> Any:
    """A file of weights to be read within a `with` block: safetensors, or a pickle as plain data."""
    return safe_open(file, "pt") if file.suffix == ".safetensors" else Opened(file)


def as_layer(value: Tensor, shape: Sequence[int]) -> Tensor:
    """A 1x1 convolution's weight (O, I, 1, 1) as the linear layer's (O, I) that does the same, or the other way round.

    Image UNets have the one where video UNets have the other. A weight that is neither is returned as it is.
    """
    return value.reshape(tuple(shape)) if _bare(value.shape) == _bare(shape) else value  # (O, I) or (O, I, 1, 1)


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[:2]) if tuple(shape[2:]) == (1, 1) else tuple(shape)


def _check(
    file: Path, shapes: dict[str, tuple[int, ...]], wanted: dict[str, str], state: dict[str, Tensor], lent: bool
) -> None:
    """Compare the file's header with the model before any value is read."""
    unknown = [k for k in shapes if _plain(k) not in wanted and not k.endswith("position_ids")]
    if unknown:
        raise UserError(
            f"{file} holds {len(unknown)} weights that do not belong to the model of its config.json, e.g. {unknown[0]}"
        )
    for key, shape in shapes.items():
        own = tuple(state[name].shape) if (name := wanted.get(_plain(key))) else shape
        if own != shape and not (lent and _bare(own) == _bare(shape)):
            raise UserError(f"{file}: {key} has shape {list(shape)}, its config.json says {list(own)}")


def _plain(name: str) -> str:
    """A weight's name in today's spelling, where it changed between library versions."""
    name = name.removeprefix("text_model.")
    if "mid_block.attentions" in name:
        for old, new in OLD_ATTENTION.items():
            name = name.replace(old, new)
    return name


def all_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinity; of eight-bit floats too, for which torch's own test is not made."""
    narrow = tensor.is_floating_point() and tensor.element_size() == 1
    return bool(torch.isfinite(tensor.float() if narrow else tensor).all())


def _finite(tensor: Tensor, file: Path, key: str) -> Tensor:
    if tensor.dtype == torch.int8:
        raise UserError(f"{file}: {key} is in eight bits without a scale: get the file in float16 or float32")
    if not all_finite(tensor):
        raise UserError(f"{file}: {key} holds NaN or infinity: the file is damaged or its training diverged")
    return tensor
