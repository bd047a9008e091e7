"""The selective scan of Mamba along time: a chunked form with its own backward, a plain loop to check it, the kernels.

Gu and Dao 2023 (arXiv 2312.00752), equations 2 and 4 with the zero-order hold of A and the Euler step of B that all
public implementations take. Shape legend: N sequences, T time steps, E channels, S states of each channel.

    h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t        y_t = C_t . h_t
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Values of the state sequence (rows x time x S x E) that are alive at once: what fits a core's cache, and enough to
# fill a GPU.
_BLOCK = {"cpu": 2**19, "other": 2**25}
_SEGMENT = {"cpu": 16, "other": 128}  # time steps between two kept states
_ENOUGH = 2**12  # values of one time step from which a loop over time wastes little


def selective_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """y (N, T, E) in float32 (float64 for float64): the CUDA kernels where they are installed, else the chunked form.

    Args:
        u: input (N, T, E).
        delta: step sizes (N, T, E), > 0.
        a: (E, S), < 0.
        b, c: (N, T, S).
    """
    kernel = _kernel() if u.is_cuda else None
    return through_kernel(kernel, u, delta, a, b, c) if kernel else chunked_scan(u, delta, a, b, c)


def sequential_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """`selective_scan` as its definition reads, one step of time after the other; slow, and differentiable by torch."""
    state = u.new_zeros(u.shape[0], u.shape[2], a.shape[1])  # (N, E, S)
    out = []
    for t in range(u.shape[1]):
        decay = torch.exp(delta[:, t, :, None] * a)  # (N, E, S)
        state = decay * state + (delta[:, t] * u[:, t])[..., None] * b[:, t, None]
        out.append((state * c[:, t, None]).sum(-1))
    return torch.stack(out, 1)  # (N, T, E)


def chunked_scan(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """`selective_scan` in pure PyTorch.

    Blocks of rows and segments of time bound the memory; within a segment the steps are run in order where one step is
    enough work, else as equal chunks beside each other whose ends are then joined. Only decays (at most 1) are ever
    multiplied, so no length of time overflows. The backward pass keeps one state of each segment and computes the
    others again. Gradients of gradients are not defined.
    """
    dtype = torch.promote_types(u.dtype, torch.float32)
    with torch.autocast(u.device.type, enabled=False):  # its products would be taken in half precision
        return _Scan.apply(*(x.to(dtype).contiguous() for x in (u, delta, a, b, c)))


def through_kernel(kernel: Callable[..., Tensor], u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """`selective_scan` by a function with the signature of mamba-ssm's `selective_scan_fn`, which has time last."""
    first = [x.transpose(1, 2).contiguous() for x in (u.float(), delta.float())]  # (N, E, T)
    return kernel(*first, a.float(), *(x.float().transpose(1, 2).contiguous() for x in (b, c))).transpose(
        1, 2
    )  # (N, T, E)


def kernels_installed() -> bool:
    """Whether tensors on a GPU go through mamba-ssm's kernels."""
    return _kernel() is not None


@lru_cache(maxsize=1)
def _kernel() -> Callable[..., Tensor] | None:
    """mamba-ssm's `selective_scan_fn`, or None when it is not installed or was built for another torch."""
    try:
        return importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    except (ImportError, OSError, AttributeError):
        return None


def scan_(decay: Tensor, h: Tensor, chunk: int | None = None) -> Tensor:
    """Turns h (n, T, ...) into h_t + decay_t h_{t-1} along time, in place.

    `chunk`: length of the chunks that run beside each other (None: chosen by the work in one step).
    """
    steps = h.shape[1]
    chunk = chunk or _chunk(h)
    if chunk >= steps:
        for t in range(1, steps):
            h[:, t].addcmul_(decay[:, t], h[:, t - 1])
        return h
    whole = steps - steps % chunk
    part = h[:, :whole].unflatten(1, (-1, chunk))  # (n, K, L, ...)
    reach = decay[:, :whole].unflatten(1, (-1, chunk)).clone()  # (n, K, L, ...), decay since its chunk's start
    for i in range(1, chunk):
        part[:, :, i].addcmul_(reach[:, :, i], part[:, :, i - 1])
        reach[:, :, i].mul_(reach[:, :, i - 1])
    ends = part[:, :, -1].clone()  # (n, K, ...)
    for k in range(1, ends.shape[1]):
        ends[:, k].addcmul_(reach[:, k, -1], ends[:, k - 1])
    part[:, 1:].addcmul_(reach[:, 1:], ends[:, :-1, None])
    for t in range(whole, steps):
        h[:, t].addcmul_(decay[:, t], h[:, t - 1])
    return h


def _chunk(h: Tensor) -> int:
    """All steps in order on a CPU with enough work in one step, else chunks of about the root of the length."""
    steps, work = h.shape[1], h[:, 0].numel()
    if h.device.type == "cpu" and work >= _ENOUGH or steps < 8:
        return steps
    return max(2, round(steps**0.5))


def _back_scan_(decay: Tensor, g: Tensor) -> Tensor:
    """Turns g (n, T, ...) into g_t + decay_{t+1} g_{t+1} along time."""
    steps = g.shape[1]
    if _chunk(g) >= steps:
        for t in range(steps - 2, -1, -1):
            g[:, t].addcmul_(decay[:, t + 1], g[:, t + 1])
        return g
    later = torch.cat([decay[:, 1:], torch.zeros_like(decay[:, :1])], 1)
    return scan_(later.flip(1), g.flip(1)).flip(1)


def _blocks(rows: int, steps: int, width: int, device: torch.device) -> tuple[int, int]:
    """Rows of a block, and time steps of a segment."""
    kind = "cpu" if device.type == "cpu" else "other"
    segment = min(steps, _SEGMENT[kind])
    return max(1, min(rows, _BLOCK[kind] // (segment * width))), segment


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(i, min(i + step, length)) for i in range(0, length, step))


class _Scan(torch.autograd.Function):
    """The chunked form: forward keeps the inputs and the state before each segment of time."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        rows, steps, wide = u.shape
        states = a.shape[1]
        a = a.t().contiguous()  # (S, E)
        block, segment = _blocks(rows, steps, states * wide, u.device)
        out = torch.empty_like(u)
        needed = any(ctx.needs_input_grad)
        starts = u.new_empty(rows if needed else 0, -(-steps // segment), states, wide)
        for n in _slices(rows, block):
            state = u.new_zeros(n.stop - n.start, states, wide)
            for k, t in enumerate(_slices(steps, segment)):
                if needed:
                    starts[n, k] = state
                h = _states(u[n, t], delta[n, t], a, b[n, t], state)[1]
                out[n, t] = (c[n, t, None] @ h)[:, :, 0]  # (n, t, 1, S) @ (n, t, S, E)
                state = h[:, -1]
        ctx.save_for_backward(u, delta, a, b, c, starts)
        ctx.blocks = block, segment
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        u, delta, a, b, c, starts = ctx.saved_tensors
        block, segment = ctx.blocks
        d_u, d_delta, d_a, d_b, d_c = (torch.zeros_like(x) for x in (u, delta, a, b, c))
        for n in _slices(u.shape[0], block):
            later: Tensor | None = None  # gradient of the state that the following segment started from
            for k, t in reversed(list(enumerate(_slices(u.shape[1], segment)))):
                decay, h = _states(u[n, t], delta[n, t], a, b[n, t], starts[n, k])
                before = torch.cat([starts[n, k, None], h[:, :-1]], 1)  # (n, t, S, E)
                g_y = grad[n, t]
                d_c[n, t] = (h @ g_y[..., None])[..., 0]
                g = c[n, t, :, None] * g_y[:, :, None]  # (n, t, S, E)
                if later is not None:
                    g[:, -1] += later
                g = _back_scan_(decay, g)
                later = decay[:, 0] * g[:, 0]
                fed = (b[n, t, None] @ g)[:, :, 0]  # gradient of delta u, (n, t, E)
                d_b[n, t] = (g @ (delta[n, t] * u[n, t])[..., None])[..., 0]
                rate = g.mul_(before).mul_(decay)  # gradient of delta A, (n, t, S, E)
                d_u[n, t] = fed * delta[n, t]
                d_delta[n, t] = fed * u[n, t] + (rate * a).sum(2)
                d_a += (rate * delta[n, t, None]).sum((0, 1))
        return d_u, d_delta, d_a.t(), d_b, d_c


def _states(u: Tensor, delta: Tensor, a: Tensor, b: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Decays and states (n, t, S, E) of a segment that starts from `state` (n, S, E); `a` is (S, E)."""
    decay = (delta[:, :, None] * a).exp_()  # (n, t, S, E)
    h = (delta * u)[:, :, None] * b[..., None]  # (n, t, S, E)
    h[:, 0].addcmul_(decay[:, 0], state)
    return decay, scan_(decay, h)
