"""Arrays from untrusted .npy and .npz files: a header is believed only as far as there are bytes for it."""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

_LONGEST_HEADER, _MOST_AXES, _MOST_ENTRIES = 10_000, 8, 1000
_BROKEN = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
Choose = Callable[[list[str]], Sequence[str]]


def read_arrays(path: Path, most: int, choose: Choose = lambda names: names) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, or that of a .npy by the name ""; nothing is unpickled.

    Args:
        most: bytes that the arrays may take together once they are unpacked.
        choose: of the names in an .npz, those that are read.

    Raises:
        ValueError: in one line: damaged, not numbers, a shape that does not fit the bytes, or too large.
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return {"": _read(file, path.stat().st_size, most)}
            return _unpack(file, most, choose)
    except _BROKEN as error:
        raise ValueError(f"damaged: {next(iter(str(error).splitlines()), '') or type(error).__name__}") from error


def _unpack(file: IO[bytes], most: int, choose: Choose) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()[:_MOST_ENTRIES]}
        arrays: dict[str, np.ndarray] = {}
        for name in choose(list(entries)):
            with archive.open(entries[name]) as stream:
                left = most - sum(array.nbytes for array in arrays.values())
                arrays[name] = _read(stream, entries[name].file_size, left)
        return arrays


def _read(stream: Any, size: int, most: int) -> np.ndarray:
    """An array whose file is said to have `size` bytes."""
    shape, turned, dtype, header = _header(stream)
    if dtype.kind not in "biufc":
        raise ValueError(f"it holds {dtype}, not numbers")
    if len(shape) > _MOST_AXES or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"it has an impossible shape {str(shape)[:60]}")
    length = math.prod(shape) * dtype.itemsize
    if length > most:
        raise ValueError(f"an array of {length >> 20} MiB is over the limit of {most >> 20} MiB")
    if size - header < length:
        raise ValueError(f"an array of the shape {shape} needs {length} bytes, {size - header} are there")
    data, filled = bytearray(length), 0
    while filled < length and (got := stream.readinto(memoryview(data)[filled:])):
        filled += got
    if filled < length:
        raise ValueError(f"cut short: {filled} of {length} bytes are there")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if turned else "C")


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether columns come first, the type, and the bytes up to the values."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it uses version {version} of the format, which is not supported")
    short = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if short else np.lib.format.read_array_header_2_0
    counted = _Counted(stream)
    shape, turned, dtype = read(counted, max_header_size=_LONGEST_HEADER)
    return shape, turned, dtype, 8 + counted.taken


class _Counted:
    """A stream that knows how many bytes were read from it."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.taken = stream, 0

    def read(self, size: int = -1) -> bytes:
        """As the stream's, of no more than a header may have."""
        if not 0 <= size <= _LONGEST_HEADER:
            raise ValueError(f"a header of {size} bytes")
        data = self.stream.read(size)
        self.taken += len(data)
        return data
