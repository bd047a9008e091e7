"""Tuning float32 weights inside a UNet in half precision: its arithmetic, and gradients that do not vanish in it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

LOSS_SCALE = 1024.0  # a mean over 10^5 values has gradients below float16's smallest number, 6e-8


def mixed(backbone: VideoBackbone) -> AbstractContextManager[object]:
    """Half-precision arithmetic around float32 weights, where the backbone's weights are in half precision."""
    if backbone.dtype == torch.float32:
        return nullcontext()
    return torch.autocast(backbone.device.type, backbone.dtype)


def loss_scale(backbone: VideoBackbone) -> float:
    """The factor for a loss before its backward pass: 1, except for a UNet that computes in float16."""
    return LOSS_SCALE if "float16" in (backbone.plan.autocast, backbone.plan.dtype) else 1.0


def unscale(weights: Iterable[nn.Parameter], scale: float) -> None:
    """Divide the gradients by the scale of the loss, in place."""
    if scale != 1:
        for weight in weights:
            if weight.grad is not None:
                weight.grad /= scale
