"""Iterative frame alignment: noise of the other frames under which frame 0 is still predicted as the sketch alone is.

FlipSketch section 4.2 (https://arxiv.org/abs/2411.10818). Only the latents get gradients; the weights are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from motionkit.backbones.mixed_precision import LOSS_SCALE

Predict = Callable[[Tensor], Tensor]  # latents (1, C, M, h, w) -> prediction at a fixed timestep and prompt

_BLOCKS = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel, AnimateDiffTransformer3D)


def align(
    predict: Predict,
    latents: Tensor,
    first: Tensor,
    target: Tensor,
    *,
    updates: int = 9,
    lr: float = 1e-3,
    loss: str = "mse",
    precision: str = "float32",
    half: bool = False,
    stall: float = 0.0,
    check: Callable[[], None] = lambda: None,
    watch: Callable[[Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Frames 1.. moved by a fresh Adam until frame 0 of the prediction is near `target`; frame 0 becomes `first`.

    The authors' code makes one more iteration and discards its update; `updates=9` is its 10.

    Args:
        predict: with the prompt, without guidance and composition.
        latents: (1, C, M, h, w) noised.
        first: (C, h, w) the reference's frame 0 at this timestep.
        target: (C, h, w) the model's prediction for `first` alone, without text.
        loss: "mse" or "norm" (the sum in place of the mean: only Adam's epsilon sees the difference).
        precision: of the latents under optimisation, "float32" or "bfloat16".
        half: the model computes in half precision.
        stall: no update follows one that lowered the loss by less than this share of it; 0 makes all.
        check: called before each update (it may cancel).
        watch: gets the loss and its gradient (1, C, M - 1, h, w) of each update.

    Returns:
        (1, C, M, h, w) float32.
    """
    fixed = first[None, :, None].float()  # (1, C, 1, h, w)
    z = latents[:, :, 1:].to(getattr(torch, precision), copy=True).requires_grad_(True)
    if z.numel() and updates:
        optimiser = torch.optim.Adam([z], lr)
        scale = LOSS_SCALE if half else 1.0  # Adam's updates do not depend on it
        if loss == "norm":
            scale /= target.numel()  # a sum's gradients would overflow where a mean's do not vanish
        before = float("inf")
        for _ in range(updates):
            check()
            with torch.enable_grad():
                prediction = predict(torch.cat([fixed, z.float()], 2))[:, :, 0].float()
                error = (prediction - target[None].float()).square()
                value = error.mean() if loss == "mse" else error.sum()
                if stall and float(value.detach()) > (1 - stall) * before:
                    break
                before = float(value.detach()) if stall else before  # asking waits for the device
                (gradient,) = torch.autograd.grad(value * scale, z)
            z.grad = gradient / scale
            optimiser.step()
            if watch:
                watch(value.detach(), z.grad)
    return torch.cat([fixed, z.detach().float()], 2)


@contextmanager
def checkpointed(unet: Any, on: bool = True) -> Iterator[None]:
    """In this context, activations of the UNet's blocks are recomputed in a backward pass instead of stored.

    diffusers' own switch does nothing on a UNet3DConditionModel; where it works, nothing more is saved by this.
    """
    blocks = [module for module in unet.modules() if on and isinstance(module, _BLOCKS)]
    for module in blocks:
        module.forward = partial(_recomputed, module.forward)
    try:
        yield
    finally:
        for module in blocks:
            module.forward = module.forward.args[0]


def _recomputed(forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*given, **named)
    return checkpoint(forward, *given, use_reentrant=False, **named)
