"""Frames as they are read, in one block of memory: each stored frame is held only once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motionkit.errors import UserError
from motionkit.media.limits import shown

_LARGEST = 2**31  # bytes that are set aside at first, however many frames a header promises


class Store:
    """A block of frames of one size; `expected` of them are set aside, and memory is taken as they come.

    `frames` is (F, H, W, 3) uint8, without a copy.
    """

    def __init__(self, path: Path, expected: int) -> None:
        self.path, self.expected, self.count = path, max(1, expected), 0
        self._block: np.ndarray | None = None

    def add(self, frame: np.ndarray) -> None:
        """Keep an (H, W, 3) uint8 frame.

        Raises:
            UserError: it is of another size than the first.
        """
        if self._block is None:
            most = max(1, _LARGEST // frame.nbytes)
            self._block = np.empty((min(self.expected, most), *frame.shape), np.uint8)
        if frame.shape != self._block.shape[1:]:
            raise UserError(f"{shown(self.path)}: its picture size changes in mid-stream; re-encode it first")
        if self.count == len(self._block):
            larger = np.empty((2 * self.count, *frame.shape), np.uint8)
            larger[: self.count] = self._block
            self._block = larger
        self._block[self.count] = frame
        self.count += 1

    @property
    def frames(self) -> np.ndarray:
        """(F, H, W, 3) uint8, the stored frames."""
        if self._block is None:
            raise ValueError("no frame was stored")
        return self._block[: self.count]
