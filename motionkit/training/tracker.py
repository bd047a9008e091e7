"""Trackers: receive the values of every training step, to draw curves or to send them elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Tracker(Protocol):
    """Receives the values of a training. Of several processes only the first one has a tracker."""

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """`step` steps are done (1 after the first); values hold the loss, the rate (`lr`) and more."""

    def on_end(self) -> None:
        """The training has ended: finished, stopped or failed."""


class NullTracker:
    """Ignores all values."""

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def on_end(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class PhaseTracker:
    """One phase of a training with several: steps are counted from `first`, values are named `name/value`.

    The end of a phase is not reported; whoever runs the phases reports the end of the whole training.
    """

    tracker: Tracker
    name: str
    first: int

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """Pass the values on under the phase's name."""
        self.tracker.on_step(self.first + step, {f"{self.name}/{key}": value for key, value in values.items()})

    def on_end(self) -> None:
        """Nothing."""
