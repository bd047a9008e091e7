"""Trackers: receive the values of every training step, to draw curves or to send them elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

NAMES = {
    "none": "curve.csv alone",
    "tensorboard": "event files in the output folder",
    "wandb": "Weights & Biases, as it is set up on this machine",
    "trackio": "trackio's own folder on this machine",
}
LEVELS, TIMES = 5, 1000  # bands of noise levels, over the timesteps of a model


class Tracker(Protocol):
    """Receives the values of a training. Of several processes only the first one has a tracker.

    It may also have `on_losses(times, losses)`, which is given each batch's timesteps (B,) and losses (B,), and, to see
    held-out clips, `every`, the steps between two validations, with `on_validation(step, shown)`.
    """

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """`step` steps are done (1 after the first); values hold the loss, the rate (`lr`) and more."""

    def on_end(self) -> None:
        """The training has ended: finished, stopped or failed."""


@dataclass(frozen=True)
class Shown:
    """What the averaged weights make of clips: figures, and clips (F, 3, H, W) in [0, 1] by name.

    held_out: whether training does not show them; too small a folder has none that it could hold out.
    """

    figures: Mapping[str, float]
    clips: Mapping[str, Tensor] = field(default_factory=dict)
    held_out: bool = True

    @property
    def where(self) -> str:
        """How they are called in curves."""
        return "held_out" if self.held_out else "training_clips"


Validate = Callable[["nn.Module"], Shown]  # of the averaged weights


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

    @property
    def every(self) -> int:
        """Steps between two validations, as the tracker has them."""
        return getattr(self.tracker, "every", 0)

    def on_step(self, step: int, values: Mapping[str, float]) -> None:
        """Pass the values on under the phase's name."""
        self.tracker.on_step(self.first + step, self._named(values))

    def on_validation(self, step: int, shown: Shown) -> None:
        """The same of held-out clips."""
        told: Any = self.tracker
        told.on_validation(
            self.first + step, Shown(self._named(shown.figures), self._named(shown.clips), shown.held_out)
        )

    def on_end(self) -> None:
        """Nothing."""

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {f"{self.name}/{key}": value for key, value in values.items()}


def tell_losses(tracker: Tracker, times: Tensor, errors: Callable[[], Tensor]) -> None:
    """Give a tracker that asks for it the mean error of each sample: timesteps (B,), and what makes errors (B, ...)."""
    told = getattr(tracker, "on_losses", None)
    if told is not None:
        told(times.detach(), errors().detach().flatten(1).float().mean(1))  # (B,)


def due(tracker: Tracker, step: int, steps: int) -> bool:
    """Whether a tracker wants to see held-out clips after this step: every so many, and after the last."""
    every = getattr(tracker, "every", 0)
    return every > 0 and (step % every == 0 or step == steps)
