"""Weights in eight bits, row by row: half the size in the package, with less error than one training step makes."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

SCALE = "::scale"  # of "NAME" under "NAME::scale": one for each row of it
LEAST = 4096  # smaller weights stay as they are: there is little to gain


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels (O, ...) as int8 with a scale (O,) for each output row; other floats in float16.

    Whole numbers, such as the counters of batch norm, stay as they are.
    """
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            out[name] = value.contiguous()
            continue
        if value.dim() < 2 or value.numel() < LEAST:
            out[name] = value.half().contiguous()
            continue
        rows = value.float().flatten(1)  # (O, I)
        scale = (rows.abs().amax(1) / 127).clamp(min=1e-12)
        coded = (rows / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        out[name], out[name + SCALE] = coded.view(value.shape).contiguous(), scale  # (O, ...), (O,)
    return out


def unpack(coded: Tensor, scale: Tensor) -> Tensor:
    """Float32 weights of int8 ones (O, ...) and their scales (O,)."""
    return coded.float() * scale.float().view(-1, *[1] * (coded.dim() - 1))  # (O, ...)


def unpack_all(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 weights of everything that `pack` wrote, or of a file in plain floats; whole numbers stay."""
    plain = {name: value for name, value in stored.items() if not name.endswith(SCALE)}
    return {
        name: unpack(value, stored[name + SCALE])
        if name + SCALE in stored
        else value.float()
        if value.is_floating_point()
        else value
        for name, value in plain.items()
    }


def shrink(file: Path) -> int:
    """Pack a safetensors file, its header's facts kept; returns the bytes saved (0: it was packed already).

    A new file takes the old one's name, so that what the old one is linked to stays as it is.
    """
    with safe_open(file, "pt") as source:
        facts = source.metadata()
        state = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118 (not a mapping)
    if any(name.endswith(SCALE) for name in state):
        return 0
    before, part = file.stat().st_size, file.with_suffix(".part")
    save_file(pack(state), part, facts)
    os.replace(part, file)
    return before - file.stat().st_size


def scale_of(name: str, names: Collection[str]) -> str | None:
    """The name of a weight's scales, where the file has them."""
    return name + SCALE if name + SCALE in names else None
