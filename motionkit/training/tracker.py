"""Trackers: what is told the values of every training step, to draw curves or to send them somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Tracker(Protocol):
    """What a training tells its tracker. Of several processes only the first one has a tracker."""

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """`step` steps are done (1 after the first); values hold the loss, the rate (`lr`) and the loss's own."""

    def on_end(self) -> None:
        """The training is over: finished, stopped or failed."""


class NullTracker:
    """Keeps nothing."""

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def on_end(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class PhaseTracker:
    """One phase of a training in several: its steps are counted on from `first`, its values are named `name/value`.

    The end of a phase is not told; whoever runs the phases tells the end of the whole.
    """

    tracker: Tracker
    name: str
    first: int

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """Hands the values on under the phase's name."""
        self.tracker.on_step(self.first + step, {f"{self.name}/{key}": value for key, value in values.items()})

    def on_end(self) -> None:
        """Nothing."""
