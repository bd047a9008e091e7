"""Stopping a training by a signal: the step ends, the state is saved."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stoppable(Protocol):
    """Something that ends after the step in progress once `stopping` is set."""

    stopping: bool


@contextmanager
def stoppable(loop: Stoppable) -> Iterator[None]:
    """SIGTERM or Ctrl-C lets the step end and saves; a second one stops at once, the last checkpoint stays as it was.

    Outside the main thread, which alone gets signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        loop.stopping = True
        print("motionkit: stopping after this step (again: at once)", file=sys.stderr)
        for kind in before:
            signal.signal(kind, signal.default_int_handler)

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
