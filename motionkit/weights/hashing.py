"""Content hashes: of files and folders, of settings, and of tensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError
from motionkit.weights.places import user_cache

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 20


def hash_path(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's relative names and bytes.

    Raises:
        UserError: the path does not exist or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            _feed(digest, path)
        else:
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
                _feed(digest, file)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)


def hash_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON; the order of keys does not matter.

    >>> hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a named set of CPU tensors: names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.reshape(-1)  # (n,)
        digest.update(memoryview(flat.view(torch.uint8).numpy()) if tensor.numel() else b"")  # (bytes,)
    return digest.hexdigest()


def seed_from(seed: int, name: str) -> int:
    """A 63-bit seed for one named use of randomness, so that adding a use does not shift the others."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8], "big") >> 1


def hash_files(present: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file by its name; those of large files are remembered by path, size and modification time."""
    memory = _Remembered()
    parts = {name: memory.hash(file) for name, file in present.items()}
    memory.save()
    return parts


class _Remembered:
    """File hashes kept between runs in the cache folder; a cache that cannot be read or written only costs time."""

    def __init__(self) -> None:
        self.file = user_cache() / "file-hashes.json"
        try:
            known = json.loads(self.file.read_text())
        except (OSError, ValueError):
            known = None
        self.known: dict[str, str] = known if isinstance(known, dict) else {}
        self.size = len(self.known)

    def hash(self, file: Path) -> str:
        stat = file.stat()
        key = f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
        if stat.st_size < _BLOCK:
            return hash_path(file)
        if key not in self.known:
            self.known[key] = hash_path(file)
        return self.known[key]

    def save(self) -> None:
        if len(self.known) == self.size:
            return
        temporary = self.file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(json.dumps(self.known))
                os.replace(temporary, self.file)
            finally:
                temporary.unlink(missing_ok=True)
