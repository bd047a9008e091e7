"""Counts what is alive on a device and what is computed there, operation by operation, and refuses what CUDA would.

Live bytes are those of storages, rounded up to the allocator's 512; operations are counted by torch's own formulas, two
for a multiplication with its addition. With fake tensors nothing is computed, with real ones the same code counts too.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

BLOCK = 512  # bytes, the least that CUDA's allocator gives
_aten = torch.ops.aten
_ONE_TYPE = (_aten.mm, _aten.addmm, _aten.bmm, _aten.baddbmm, _aten.convolution)  # CUDA's kernels mix no types
_READS = (_aten._local_scalar_dense.default, _aten.is_nonzero.default)
_STAND_INS: dict[bool, Any] = {True: 1.0, False: 1}


@dataclass
class Count:
    """What one call took.

    Attributes:
        before, peak, after: bytes alive on the device.
        flops: operations.  space, time: those of attention within frames and along time, which are among them.
        written: bytes of results.  calls: operations of torch.
    """

    before: int = 0
    peak: int = 0
    after: int = 0
    flops: int = 0
    space: int = 0
    time: int = 0
    written: int = 0
    calls: int = 0

    @property
    def extra(self) -> int:
        """Bytes above what was alive before."""
        return self.peak - self.before


class Meter(TorchDispatchMode):
    """While it is active every storage on a device is known from its first use to its end.

    `frames`: of the clips that pass, by which attention along time is told.
    A number read from a fake tensor is 1, and a truth value is true: fake tensors have no values.
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()
        self.device = torch.device(device).type
        self.live = self.peak = self.flops = self.written = self.calls = 0
        self.frames = self.space = self.time = 0
        self._known: dict[int, int] = {}

    @contextmanager
    def count(self) -> Iterator[Count]:
        """Count what happens in the block; the result is complete when the block ends."""
        found = Count(before=self.live)
        self.peak = self.live
        self.flops = self.written = self.calls = self.space = self.time = 0
        yield found
        found.peak, found.after = self.peak, self.live
        for name in ("flops", "written", "calls", "space", "time"):
            setattr(found, name, getattr(self, name))

    def see(self, tensor: torch.Tensor) -> int:
        """Register a tensor's storage; returns its bytes if it is new, else 0."""
        if tensor.device.type != self.device:
            return 0
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return 0
        size = -(-storage.nbytes() // BLOCK) * BLOCK
        self._known[key] = size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, key)
        return size

    def _gone(self, key: int) -> None:
        self.live -= self._known.pop(key, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operation of torch, below autograd."""
        kwargs = kwargs or {}
        if func in _READS and isinstance(args[0], FakeTensor) and args[0].constant is None:
            return True if func is _READS[1] or args[0].dtype == torch.bool else _STAND_INS[args[0].is_floating_point()]
        packet = func._overloadpacket
        if packet in _ONE_TYPE:
            _refuse_mixed(func, args)
        out = func(*args, **kwargs)
        self.calls += 1
        if packet in flop_registry:
            done = flop_registry[packet](*args, **kwargs, out_val=out)
            self.flops += done
            if "scaled_dot_product" in packet.__name__:
                self._look(packet.__name__, args, done)
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.written += self.see(leaf)
        return out

    def _look(self, name: str, args: Any, done: int) -> None:
        """Attention along time has a token for each of `frames` (and perhaps one before), within frames far more."""
        query, key = args[1:3] if name.endswith("backward") else args[:2]
        tokens, seen = query.shape[-2], key.shape[-2]
        if tokens == seen and tokens in (self.frames, self.frames + 1):
            self.time += done
        elif seen in (tokens, 2 * tokens):
            self.space += done


def _refuse_mixed(func: Any, args: Any) -> None:
    """Raises: TypeError for tensors of several types or devices, which fake kernels let through."""
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    kinds = {(t.dtype, t.device.type) for t in tensors}
    if len(kinds) > 1:
        raise TypeError(f"{func} would not run on CUDA: it gets {sorted(map(str, kinds))}")
