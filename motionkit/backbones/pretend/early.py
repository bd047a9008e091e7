"""Makes a build of torch without CUDA ready to hold fake CUDA tensors; to be called before torch is imported.

Torch looks for a CUDA device once in a process, as it is imported. So where that build is installed a count on a
pretended card runs in a process of its own, which calls `ready` first. No torch here.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from motionkit.errors import UserError
from motionkit.weights import places

_GUARD = "motionkit_guard"
_loaded: list[Any] = []


def ready() -> None:
    """Let this process hold fake CUDA tensors with gradients. A build for CUDA can; another needs a guard, once.

    Raises:
        UserError: such a build, and no C++ compiler, or one that fails.
        RuntimeError: torch is imported already.
    """
    if is_ready():
        return
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already, and has found no CUDA device: call `ready` in a new process")
    file = _compiled()
    loader = importlib.machinery.ExtensionFileLoader(_GUARD, str(file))
    spec = importlib.util.spec_from_file_location(_GUARD, file, loader=loader)
    assert spec is not None
    _loaded.append(importlib.util.module_from_spec(spec))


def is_ready() -> bool:
    """Whether this process can hold fake CUDA tensors with gradients."""
    return bool(_loaded) or built_for_cuda()


def can_be() -> bool:
    """Whether a new process on this machine could."""
    return built_for_cuda() or _compiler() is not None


@functools.cache
def built_for_cuda() -> bool:
    """Whether the installed torch is a build for CUDA, with or without a card."""
    return _version().cuda is not None


def _root() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _version() -> Any:
    """The facts that the installed torch tells of itself."""
    spec = importlib.util.spec_from_file_location("_torch_version", _root() / "version.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)


def _compiled() -> Path:
    """The compiled guard, in motionkit's cache by its source and torch's version. Raises: UserError."""
    source = places.PACKAGE / "pretend" / "guard.cpp"
    name = hashlib.sha256(source.read_bytes() + str(_version().__version__).encode() + str(_root()).encode())
    file = places.user_cache() / "pretend" / f"{_GUARD}-{name.hexdigest()[:16]}.so"
    if file.is_file():
        return file
    if (compiler := _compiler()) is None:
        raise UserError(
            "an exact count for a GPU that is not here needs a C++ compiler, or a build of torch for CUDA: "
            "install g++, or use the shipped figures (exact=false)"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    # A name of this process's own: of two that compile at once neither may load what the other is still writing.
    libraries, fresh = _root() / "lib", file.with_suffix(f".{os.getpid()}.new")
    words = [compiler, "-shared", "-fPIC", "-std=c++20", f"-I{_root() / 'include'}"]
    words += [f"-I{sysconfig.get_path('include')}", str(source), "-o", str(fresh)]
    words += [f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lc10", "-ltorch_cpu"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        what = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
        raise UserError(f"the C++ helper for a simulated GPU does not compile ({what.strip()[:200]}): use exact=false")
    fresh.replace(file)
    return file
