"""One figure for many clips: the mean and its confidence interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

_AT_ONCE = 1_000_000  # numbers drawn at once


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
    sample = _sample(values, confidence)
    rng = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(sample))
    means = np.concatenate(
        [
            sample[rng.integers(0, len(sample), (min(rows, resamples - done), len(sample)))].mean(1)
            for done in range(0, resamples, rows)
        ]
    )  # (resamples,)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(sample.mean()), float(low), float(high))


def t_interval(values: np.ndarray | list[float], confidence: float = 0.95) -> Interval:
    """Mean of a few values with Student's t interval: where n is small, a percentile bootstrap is too narrow.

    With n = 5 normal values a bootstrap interval of 95 % misses the mean in 15 % of draws, this one in 5 %. The
    quantile is the expansion 26.7.5 of Abramowitz and Stegun (1964), right to 0.001 from n = 5 on.

    Args:
        values: (n,) finite numbers, n >= 1; a single one has no interval: (-inf, inf).
        confidence: in (0, 1).

    Raises:
        ValueError: no values, values that are not finite, or a confidence outside (0, 1).

    >>> [round(x, 3) for x in t_interval([1.0, 2.0, 3.0, 4.0, 5.0])]
    [3.0, 1.037, 4.963]
    """
    sample = _sample(values, confidence)
    mean, free = float(sample.mean()), len(sample) - 1
    if not free:
        return Interval(mean, -np.inf, np.inf)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    reach = sum(term / free**i for i, term in enumerate(terms)) * float(sample.std(ddof=1)) / len(sample) ** 0.5
    return Interval(mean, mean - reach, mean + reach)


def _sample(values: np.ndarray | list[float], confidence: float) -> np.ndarray:
    """The values in order; raises ValueError when there can be no interval."""
    sample = np.sort(np.asarray(values, np.float64))
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError("needs a non-empty list of finite numbers")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be within (0, 1), got {confidence}")
    return sample


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
