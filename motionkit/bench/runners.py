"""Where cells are worked off: one after another, in several processes of this machine, or on a cluster.

Each cell runs in a process of its own, so that its time and peak memory are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from motionkit.bench.cell import perform
from motionkit.bench.entry import Cell


class Runner(Protocol):
    """Works cells off; whatever happens to one is in its folder, and the others run."""

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield each cell when it has ended, well or not."""


class Serial:
    """One after another."""

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        """Yield each cell when it has ended, well or not."""
        for cell in cells:
            perform(cell)
            yield cell
