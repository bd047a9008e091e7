"""A world of fake tensors in which a CUDA device seems to be there, with its autocast and its fused attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from motionkit.backbones.pretend import early
from motionkit.backbones.pretend.meter import Meter
from motionkit.errors import UserError

_LATE = "this process cannot simulate a GPU: call motionkit.backbones.pretend.early.ready() first in a new process"


@contextmanager
def world(device: str = "cuda") -> Iterator[Meter]:
    """Within the block new tensors are fake, networks move as on a machine with that device, and a meter counts.

    Raises:
        UserError: "cuda" in a process that was not made `early.ready`.
    """
    meter = Meter(device)
    with ExitStack() as stack:
        # Backward passes stay in this thread: beside one of the engine's, whose tensors are freed there, processes have
        # been seen to end in TensorImpl::_fw_grad, which read a tensor that was gone (once in some twenty counts).
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        stack.enter_context(mock.patch.object(nn.Module, "_apply", _apply))
        if meter.device == "cuda":
            if not early.is_ready():
                raise UserError(_LATE)
            for place, name, value in _seeming():
                stack.enter_context(mock.patch.object(place, name, value))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(meter)
        yield meter


def _seeming() -> list[tuple[Any, str, Callable[..., Any]]]:
    """What torch asks of a card before it casts to half precision, and attention by its fused kernels."""
    return [
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        (torch.cuda, "current_device", lambda: 0),
        (torch.nn.functional, "scaled_dot_product_attention", _attention),
    ]


def _apply(module: nn.Module, change: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`nn.Module._apply` that makes new parameters, because the contents of fake tensors cannot be replaced."""
    for child in module.children() if recurse else ():
        child._apply(change)
    for name, old in module._parameters.items():
        if old is not None:
            with torch.no_grad():
                new = change(old)
            if new is not old:
                module._parameters[name] = nn.Parameter(new, old.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention as CUDA has it: flash where it can be, else the memory-efficient kernel.

    It replaces torch's own function and is not a mode, which a backward pass that recomputes layers does not see.
    Raises: TypeError for tensors of several types or devices.
    """
    if torch.is_autocast_enabled("cuda"):
        half = torch.get_autocast_dtype("cuda")
        query, key, value = query.to(half), key.to(half), value.to(half)
        if attn_mask is not None and attn_mask.dtype != torch.bool:
            attn_mask = attn_mask.to(half)
    given = [query, key, value, *([attn_mask] if attn_mask is not None and attn_mask.dtype != torch.bool else [])]
    if len({(t.dtype, t.device.type) for t in given}) > 1:
        raise TypeError(f"attention on CUDA needs one type and device, not {[(t.dtype, t.device.type) for t in given]}")
    lead = query.shape[:-2]
    # Each (N, heads, L, D); one head where a tensor is (N, L, D).
    query, key, value = (t.reshape(-1, *t.shape[-3:]) if t.ndim != 3 else t[:, None] for t in (query, key, value))
    width = query.shape[-1]
    fast = query.dtype != torch.float32 and attn_mask is None and width <= 256 and width % 8 == 0
    if fast:
        out = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, is_causal, scale=scale)[0]
    else:
        bias = None
        if attn_mask is not None:
            bias = torch.zeros_like(attn_mask, dtype=query.dtype) if attn_mask.dtype == torch.bool else attn_mask
            bias = bias.expand(*query.shape[:-1], key.shape[-2])
        kept = torch.is_grad_enabled() and query.requires_grad
        out = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, bias, kept, 0.0, is_causal, scale=scale
        )[0]
    return out.reshape(*lead, *out.shape[-2:])  # (..., L, D)
