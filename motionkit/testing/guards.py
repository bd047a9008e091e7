"""Watching a run from outside: which files it writes, whether it uses the network, which global state it changes.

Python's audit events are used, so nothing in the method is replaced. Native code that opens files or sockets without
Python is not seen. What happens while a module is being imported is the library's doing and is not counted: diffusers,
for one, probes a socket and sets variables of the environment.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_NETWORK = {f"socket.{name}" for name in ("bind", "connect", "sendto", "sendmsg")}
_LOOKUP = {f"socket.{name}" for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo")}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {f"os.{name}": 0 for name in ("mkdir", "remove", "rmdir", "truncate")}  # which argument is what changes
_CHANGES |= {f"os.{name}": 1 for name in ("rename", "symlink", "link")}
_VARIABLES = {"os.putenv", "os.unsetenv"}
_EVENTS = {"open", *_NETWORK, *_LOOKUP, *_CHANGES, *_VARIABLES}
_SYSTEM = tuple(Path(name) for name in ("/dev", "/proc"))


class NetworkBlocked(OSError):
    """The run used the network while a `Watch` was open."""


class Watch:
    """Records writes and blocks the network while it is open, then tells which global state differs.

    Attributes:
        network: what the run tried to reach.
        writes: files and folders outside `allowed` that it made or changed; a temporary file that is gone again does
            not count, nor does Python's own bytecode cache.
        changed: names of the global states that differ: generators of random, numpy and torch, torch's default type and
            modes, the working directory, variables of the environment.
    """

    def __init__(self, *allowed: Path) -> None:
        self.allowed = tuple(Path(folder).resolve() for folder in allowed)
        self.network: list[str] = []
        self.writes: list[Path] = []
        self.changed: list[str] = []
        self._seen: dict[Path, None] = {}
        self._before: dict[str, Any] = {}
        self._environment: list[str] = []
        self._frame: FrameType | None = None

    def __enter__(self) -> Watch:
        _install()
        self._frame = sys._getframe(1)
        self._before = {name: read() for name, read in _STATES.items()}
        _OPEN.append(self)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _OPEN.remove(self)
        self._frame = None
        self.changed = [name for name, read in _STATES.items() if read() != self._before[name]]
        self.changed += [f"the variable {name}" for name in dict.fromkeys(self._environment)]
        self.writes = [path for path in self._seen if self._outside(path)]

    def event(self, name: str, args: tuple[Any, ...]) -> None:
        """Take one audit event."""
        if name not in _EVENTS or self._importing():
            return
        if name in _NETWORK and args[0].family != getattr(socket, "AF_UNIX", None):
            self._block(str(args[1]))
        elif name in _LOOKUP:
            self._block(str(args[0]))
        elif name in _VARIABLES:
            self._environment.append(os.fsdecode(args[0]))
        elif name == "open" and (args[2] or 0) & _WRITING:
            self._wrote(args[0])
        elif name in _CHANGES:
            self._wrote(args[_CHANGES[name]])

    def _importing(self) -> bool:
        frame = sys._getframe(1)
        while frame is not None and frame is not self._frame:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back  # type: ignore[assignment]
        return False

    def _block(self, where: str) -> None:
        self.network.append(where)
        raise NetworkBlocked(f"no network in a conformance run: {where}")

    def _wrote(self, path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a file that is open already
        # No resolve() here: it could raise audit events of its own.
        self._seen[Path(os.path.abspath(os.fsdecode(path)))] = None

    def _outside(self, path: Path) -> bool:
        if "__pycache__" in path.parts:
            return False
        resolved = path.parent.resolve() / path.name
        if any(resolved.is_relative_to(folder) for folder in (*self.allowed, *_SYSTEM)):
            return False
        temporary = resolved.is_relative_to(Path(tempfile.gettempdir()).resolve())
        return not temporary or resolved.exists()


_OPEN: list[Watch] = []
_installed = False


def _install() -> None:
    global _installed
    if not _installed:
        sys.addaudithook(_hook)  # cannot be removed; idle while no watch is open
        _installed = True


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _OPEN:
        _OPEN[-1].event(event, args)


@contextmanager
def stirred(number: int) -> Iterator[None]:
    """Put the global generators into a state of their own, so that a run that reads them does not repeat itself."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(number)
    np.random.seed(number)
    torch.default_generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _numpy() -> Any:
    import numpy as np

    return [part.tobytes() if isinstance(part, np.ndarray) else part for part in np.random.get_state()]


def _torch(read: str) -> Callable[[], Any]:
    def state() -> Any:
        import torch

        value = getattr(torch, read)()
        return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value

    return state


_STATES: dict[str, Callable[[], Any]] = {
    "random's generator": random.getstate,
    "numpy's generator": _numpy,
    "torch's generator": _torch("get_rng_state"),
    "torch's default type": _torch("get_default_dtype"),
    "torch's gradient mode": _torch("is_grad_enabled"),
    "torch's deterministic mode": _torch("are_deterministic_algorithms_enabled"),
    "the working directory": os.getcwd,
}
