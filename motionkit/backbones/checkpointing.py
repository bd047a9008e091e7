"""Gradient checkpointing for every UNet, also for those whose class in diffusers has none."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

_INNER = ("resnets", "temp_convs", "attentions", "temp_attentions")


def enable(unet: nn.Module) -> None:
    """Keep only the inputs of each layer for the backward pass, and compute the layers again there.

    Where diffusers has a switch for the class it is used. UNet3DConditionModel has none: there, each ResNet, temporal
    convolution and transformer of the blocks is wrapped. The layers run twice, so an attention processor that keeps
    something when it is called keeps it twice. Without gradients nothing changes. A second call does nothing.
    """
    if getattr(unet, "_supports_gradient_checkpointing", False):
        model: Any = unet
        model.enable_gradient_checkpointing()
        return
    for layer in _layers(unet):
        if not is_wrapped(layer):
            layer.forward = partial(_checkpointed, layer.forward)


def is_enabled(unet: nn.Module) -> bool:
    """Whether gradients of this UNet are computed that way, in diffusers' manner or in ours."""
    layers = _layers(unet)
    return bool(getattr(unet, "is_gradient_checkpointing", False) or (layers and all(map(is_wrapped, layers))))


def is_wrapped(layer: nn.Module) -> bool:
    """Whether this layer is computed again in the backward pass by our wrapper."""
    return isinstance(layer.forward, partial) and layer.forward.func is _checkpointed


def _layers(unet: nn.Module) -> list[nn.Module]:
    return [m for n, m in unet.named_modules() if n.rpartition(".")[0].endswith(_INNER) and n.count(".") <= 3]


def _checkpointed(forward: Any, *arguments: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*arguments, **named)
    return checkpoint(forward, *arguments, use_reentrant=False, **named)
