"""Gradient checkpointing for every UNet, also for those whose class in diffusers has none."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import nn
from torch.utils.checkpoint import checkpoint

_INNER = ("resnets", "temp_convs", "attentions", "temp_attentions")


def enable(unet: nn.Module) -> None:
    """Keep only the inputs of each layer for the backward pass, and compute the layers again there.

    Where diffusers has a switch for the class it is used. That of UNetMotionModel leaves the motion modules of the down
    and up blocks out, most of its memory: they are wrapped. UNet3DConditionModel has none: there, each ResNet, temporal
    convolution and transformer of the blocks is wrapped. The layers run twice, so an attention processor that keeps
    something when it is called keeps it twice, and what it reads must stay until backward has ended. Without gradients
    nothing changes. A second call does nothing.
    """
    layers = _layers(unet)
    if _has_switch(unet):
        model: Any = unet
        model.enable_gradient_checkpointing()
        layers = _motion_modules(unet)
    for layer in layers:
        if not is_wrapped(layer):
            layer.forward = partial(_checkpointed, layer.forward)


def disable(unet: nn.Module) -> None:
    """Undo `enable`."""
    if _has_switch(unet):
        model: Any = unet
        model.disable_gradient_checkpointing()
    for layer in (*_layers(unet), *_motion_modules(unet)):
        if is_wrapped(layer):
            del layer.forward  # the instance's; the class's comes back


def is_enabled(unet: nn.Module) -> bool:
    """Whether gradients of this UNet are computed that way, in diffusers' manner or in ours."""
    layers = _layers(unet)
    by_switch = getattr(unet, "is_gradient_checkpointing", False) and all(map(is_wrapped, _motion_modules(unet)))
    return bool(by_switch or (layers and all(map(is_wrapped, layers))))


def is_wrapped(layer: nn.Module) -> bool:
    """Whether this layer is computed again in the backward pass by our wrapper."""
    return isinstance(layer.forward, partial) and layer.forward.func is _checkpointed


def _layers(unet: nn.Module) -> list[nn.Module]:
    return [m for n, m in unet.named_modules() if n.rpartition(".")[0].endswith(_INNER) and n.count(".") <= 3]


def _has_switch(unet: nn.Module) -> bool:
    return bool(getattr(unet, "_supports_gradient_checkpointing", False))


def _motion_modules(unet: nn.Module) -> list[nn.Module]:
    """Those that diffusers' switch does not cover; it does cover the one of the mid block."""
    return [
        module
        for name, module in unet.named_modules()
        if isinstance(module, AnimateDiffTransformer3D) and not name.startswith("mid_block")
    ]


def _checkpointed(forward: Any, *arguments: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*arguments, **named)
    return checkpoint(forward, *arguments, use_reentrant=False, **named)
