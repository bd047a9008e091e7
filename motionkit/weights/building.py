"""One thread at a time builds a network: libraries change torch globally while they do, for every thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

LOCK = threading.RLock()  # held while weights are drawn, and while transformers replaces torch's functions
_here = threading.local()


@contextmanager
def drawing(seed: int | None = None) -> Iterator[None]:
    """Within the block only this thread uses the global generator, from `seed` on; its state is restored afterwards."""
    with LOCK, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def on_meta() -> Iterator[None]:
    """Modules that this thread makes within the block have shapes for weights; buffers are made as ever.

    What a module draws while it is made leaves the global generator as it was, as in `drawing`.
    As `accelerate.init_empty_weights`, which replaces a function of torch for all threads, and for good when two
    threads leave it in the wrong order.
    """
    before = getattr(_here, "empty", False)
    with drawing():
        _here.empty = True
        try:
            yield
        finally:
            _here.empty = before


def _emptied(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
    if parameter is None or not getattr(_here, "empty", False):
        return None  # it stays as it is
    return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)


register_module_parameter_registration_hook(_emptied)  # type: ignore[arg-type]
