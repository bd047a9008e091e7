"""A process of its own for each cell, so that memory use or a crash of one cell does not affect another's results.

The processes are forked from a small server that has imported the libraries and nothing else, so that a cell costs a
fraction of a second more, and its peak memory is its own (Linux resets the peak of a forked process).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from motionkit.errors import Cancelled
from motionkit.table.bench.planned import Cell
from motionkit.table.store import STOPPED

_PRELOADED = ["torch", "diffusers", "transformers", "motionkit.table.bench.cell"]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CANCELLED = 130
_STARTING = threading.Lock()  # of threads that start at once, one would keep the other's empty script
_PATIENCE = 10.0  # seconds that a stopped cell has to end by itself


def isolated(cell: Cell, threads: int | None = None) -> Cell:
    """Run one cell in a process of its own; its result or failure is in the cell's folder.

    No process is started for a cell that has ended, or that another start is computing unless it is to be waited for.

    Args:
        threads: of the process; None leaves what the libraries choose.

    Raises:
        Cancelled: the user stopped it.
    """
    if cell.turn and (cell.has_ended or not cell.turn.wait and cell.kept.is_busy):
        return cell
    known = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in known else "spawn"
    if multiprocessing.get_start_method(allow_none=True) not in (None, *known):
        multiprocessing.set_start_method(method, force=True)  # a joblib worker's is "loky", which its children lack
    context = multiprocessing.get_context(method)
    with _environment({name: str(threads) for name in _THREADS} if threads else {}):
        if method == "forkserver":
            context.set_forkserver_preload(_PRELOADED)  # heeded by the first call alone
        process = context.Process(target=_child, args=(cell, threads, dict(os.environ)))  # type: ignore[attr-defined]
        with _STARTING, _without_script():
            process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        _stop(process)
        raise Cancelled(STOPPED) from None
    if process.exitcode == _CANCELLED:
        raise Cancelled(STOPPED)
    if process.exitcode:
        cell.fail(_last_words(process.exitcode))
    return cell


def _stop(process: Any) -> None:
    """End a cell's process: a terminal has interrupted it as well, a scheduler has not."""
    for patience, word in ((1.0, signal.SIGINT), (_PATIENCE, signal.SIGKILL)):
        process.join(patience)
        if process.is_alive():
            os.kill(process.pid, word)
    process.join()


def _child(cell: Cell, threads: int | None, environment: Mapping[str, str]) -> None:
    """The process of one cell."""
    _die_with_parent()
    os.environ.update(environment)  # the server's is that of its own start
    from motionkit.table.bench.cell import perform

    if threads:
        import cv2
        import torch

        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    try:
        perform(cell)
    except Cancelled:
        os._exit(_CANCELLED)


def _last_words(code: int) -> str:
    """Why a process ended without reporting a reason."""
    if code > 0:
        return f"its process exited with code {code}"
    name = signal.Signals(-code).name
    return f"its process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _die_with_parent() -> None:
    """On Linux: end this cell when the command that started it is killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; the parent is the server, which goes with it


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Processes that are started inside do not run the user's script again, as they would to know what it defines.

    A cell holds nothing of the script, and one that calls `motionkit.bench` at its top would start all over.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
