"""Calls of a compiled network that are not compiled, from several threads too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_lock = threading.Lock()
_inside = 0
_held = ExitStack()


@contextmanager
def eager() -> Iterator[None]:
    """Within it nothing is compiled; the last one to leave restores what was before the first one came.

    torch keeps one word for the whole process, and each `set_stance` restores what it found: of two threads that
    overlap, the one that leaves last would leave the other's word behind, and nothing would be compiled any more.
    """
    global _inside
    with _lock:
        if not _inside:
            _held.enter_context(torch.compiler.set_stance("force_eager"))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _held.close()
