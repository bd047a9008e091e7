"""Stops a training on a signal: the current step ends, and the state is saved."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stoppable(Protocol):
    """Anything that ends after the current step once `stopping` is set."""

    stopping: bool


@contextmanager
def stoppable(loop: Stoppable) -> Iterator[None]:
    """SIGTERM or Ctrl-C ends the current step and saves; a second one stops at once and keeps the last checkpoint.

    Outside the main thread, which alone receives signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        loop.stopping = True
        print("motionkit: stopping after this step (press again to stop at once)", file=sys.stderr)
        for kind in before:
            signal.signal(kind, signal.default_int_handler)

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
