"""The processes that share a training: each computes its part of the batches, and the first one writes files.

`torchrun --nproc_per_node N -m motionkit train ... output=FOLDER` starts N of them (`accelerate launch` too, on GPUs).
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn

_log = logging.getLogger(__name__)
_BUCKET = 25 << 20  # bytes of gradients in one exchange: a network has thousands of small ones
_PATIENCE = timedelta(days=2)  # while the first process encodes all clips


def _is_alone(environment: Mapping[str, str]) -> bool:
    """Whether `accelerate launch` was asked for several processes and started one: only then is there an address."""
    return "ACCELERATE_USE_CPU" in environment and "MASTER_ADDR" in environment and "WORLD_SIZE" not in environment


class Workers:
    """This process among those that share the training.

    Args:
        device: on which it computes; joins the processes that a launcher started, if any. None: this process alone.

    Attributes:
        rank: this process's number, from 0.
        world: how many there are.
    """

    def __init__(self, device: str | None = None) -> None:
        self.rank, self.device = 0, torch.device("cpu")
        self.world = 1 if device is None else int(os.environ.get("WORLD_SIZE", "1"))
        if device is None or self.world == 1:
            if device is not None and _is_alone(os.environ):
                _log.warning(
                    "accelerate started one process, whatever number was asked for, as it does on a CPU: "
                    "torchrun --nproc_per_node N -m motionkit train ... starts several"
                )
            return
        if device.startswith("cuda"):
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(self.device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=_PATIENCE)
        self.rank = dist.get_rank()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block, then the others, which find its files on disk."""
        if self.rank:
            self.wait()
        try:
            yield
        finally:
            if not self.rank:
                self.wait()

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each parameter's gradient by the mean over all processes."""
        if self.world == 1:
            return
        for held in buckets(parameters):
            flat = torch.cat([gradient.reshape(-1) for gradient in held])  # (sum of all sizes,)
            dist.all_reduce(flat)
            flat /= self.world
            for gradient, part in zip(held, flat.split([g.numel() for g in held]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all processes must call this."""
        if self.world == 1:
            return flag
        found = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(found)
        return bool(found > 0)

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values to the tensors of all processes, in place."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def buckets(parameters: Iterable[nn.Parameter], size: int = _BUCKET) -> Iterator[list[Tensor]]:
    """The gradients of parameters, of one type and device together and of about `size` bytes; a missing one is zero."""
    held, filled = list[Tensor](), 0
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradient = parameter.grad
        filled += gradient.nbytes
        if held and (filled > size or (gradient.dtype, gradient.device) != (held[0].dtype, held[0].device)):
            yield held
            held, filled = [], gradient.nbytes
        held.append(gradient)
    if held:
        yield held


def leave(code: int) -> NoReturn:
    """End this process with an exit code; one that shared a training skips the interpreter's shutdown.

    A thread of gloo may still hold the last exchange's tensors. If it frees them during shutdown, the process aborts
    (exit code -6) although all is written, and a launcher reports a failed training.
    """
    if not (dist.is_available() and dist.is_initialized()):
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)
