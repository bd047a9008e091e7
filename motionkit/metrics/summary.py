"""One figure for many clips: the mean and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: np.ndarray | list[float], confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean of the values with a percentile bootstrap interval (Efron 1979).

    The same values and seed give the same interval; the order of the values does not matter.

    Args:
        values: (n,) finite numbers, n >= 1, one per clip (frames of one clip are not independent: average them).
        confidence: in (0, 1).
        resamples: how many samples of size n to draw with replacement.
        seed: of the drawing.

    Raises:
        ValueError: no values, values that are not finite, or a confidence outside (0, 1).

    >>> bootstrap_interval([2.0, 2.0, 2.0])
    Interval(mean=2.0, low=2.0, high=2.0)
    >>> interval = bootstrap_interval([0.0, 1.0])  # the mean of two draws is 0, 0.5 or 1
    >>> (interval.low, interval.mean, interval.high)
    (0.0, 0.5, 1.0)
    """
    sample = np.sort(np.asarray(values, np.float64))
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("needs a non-empty list of finite numbers")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be within (0, 1), got {confidence}")
    rng = np.random.default_rng(seed)
    means = np.array([sample[rng.integers(0, len(sample), len(sample))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


@dataclass
class Accumulator:
    """A metric over many clips: one value per `update`, then `compute`.

    >>> from motionkit.metrics import l1
    >>> errors = Accumulator(l1)
    >>> errors.update(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 3)))
    0.0
    >>> errors.compute()
    Interval(mean=0.0, low=0.0, high=0.0)
    """

    metric: Callable[..., float]
    values: list[float] = field(default_factory=list)

    def update(self, *args: np.ndarray, **kwargs: object) -> float:
        """Measure one more clip and return its value."""
        self.values.append(self.metric(*args, **kwargs))
        return self.values[-1]

    def compute(self, confidence: float = 0.95, seed: int = 0) -> Interval:
        """Mean and bootstrap interval over the clips so far; errors as `bootstrap_interval`."""
        return bootstrap_interval(self.values, confidence, seed=seed)
