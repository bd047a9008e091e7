"""Weights in eight bits, row by row: half the size in the package, with less error than one training step makes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

SCALE = "::scale"  # of "NAME" under "NAME::scale": one for each row of it
LEAST = 4096  # smaller weights stay as they are: there is little to gain


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels (O, ...) as int8 with a scale (O,) for each output row; everything else in float16."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
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
    """Float32 weights of everything that `pack` wrote."""
    plain = {name: value for name, value in stored.items() if not name.endswith(SCALE)}
    return {
        name: unpack(value, stored[name + SCALE]) if name + SCALE in stored else value.float()
        for name, value in plain.items()
    }


def scale_of(name: str, names: Collection[str]) -> str | None:
    """The name of a weight's scales, where the file has them."""
    return name + SCALE if name + SCALE in names else None
