"""Dynamic loss scaling: float16 gradients that neither vanish nor overflow (Micikevicius et al., arXiv 1710.03740)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from motionkit.backbones.mixed_precision import unscale

LEAST, MOST = 2.0**-10, 2.0**24


class LossScale:
    """The factor of a loss before its backward pass: halved when gradients overflow, doubled after `every` good steps.

    A scale that begins at 1 is off: it stays 1, and an infinite gradient cannot be recovered from. Powers of two change
    no bit of float32 gradients.

    Attributes:
        value: the factor now.
        good: steps since it last changed.
    """

    def __init__(self, value: float = 1.0, every: int = 200) -> None:
        self.value, self.every, self.good = value, every, 0
        self.dynamic = value != 1

    def unscale(self, weights: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the factor, in place."""
        unscale(weights, self.value)

    def update(self, finite: bool) -> bool:
        """Update the scale after a step's gradients; False when there is no smaller scale to try."""
        if not self.dynamic:
            return finite
        if not finite:
            self.value, self.good = self.value / 2, 0
            return self.value >= LEAST
        self.good += 1
        if self.good >= self.every:
            self.value, self.good = min(self.value * 2, MOST), 0
        return True

    def state(self) -> torch.Tensor:
        """The state for `restore`: value and good, (2,) float64."""
        return torch.tensor([self.value, self.good], dtype=torch.float64)

    def restore(self, state: torch.Tensor) -> None:
        """Restore a state; a scale that is off stays off."""
        if self.dynamic:
            self.value, self.good = float(state[0]), int(state[1])
