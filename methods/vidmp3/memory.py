"""Gradient checkpointing that also covers AnimateDiff's motion modules, most of a tuning step's memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch.utils.checkpoint import checkpoint


def save_memory(unet: Any) -> Callable[[], None]:
    """Recompute activations in the backward pass instead of keeping them; gradients stay the same.

    diffusers' own switch covers residual blocks and spatial transformers, and the motion module of the mid block, but
    not those of the down and up blocks. The shared state that processors read must not change before backward.

    Args:
        unet: a UNetMotionModel.

    Returns:
        A function that turns it off again.
    """
    unet.enable_gradient_checkpointing()
    wrapped = [
        module
        for name, module in unet.named_modules()
        if isinstance(module, AnimateDiffTransformer3D) and not name.startswith("mid_block")
    ]
    for module in wrapped:
        module.forward = _recomputed(module.forward)  # an attribute of the instance, before the class's own

    def undo() -> None:
        unet.disable_gradient_checkpointing()
        for module in wrapped:
            module.__dict__.pop("forward", None)

    return undo


def _recomputed(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run
