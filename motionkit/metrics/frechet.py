"""Distances between two sets of feature vectors: Fréchet and energy, their intervals, and the bias of a small set.

Fréchet: Heusel et al. 2017 (arXiv 1706.08500, eq. 6); energy: Székely and Rizzo 2013 (J. Stat. Plan. Inference
143). With few vectors the Fréchet distance of two equal distributions is far from 0; `expected_at_null` says how far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], float]
_CONFIDENT = 1.959964  # standard errors on each side of a 95 % interval
_GROUPS, _EXCHANGES = 32, 16  # clips left out in turn, random exchanges; more would take time and change nothing
_WIDE = 512  # features from which one distance takes seconds: then a quarter of both is made


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of the Gaussians with the sets' means and covariances; lower is better, [0, inf).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with covariances over n - 1. The trace of the root is the sum of the
    singular values of A B^T, where C1 = A^T A and C2 = B^T B, so no matrix root is taken.

    Args:
        first, second: (n, D) and (m, D) finite, n, m >= 2.

    Raises:
        ValueError: other shapes, values that are not finite, or fewer than two vectors.

    >>> one = np.array([[-1.0], [1.0]])  # mean 0, variance 2
    >>> round(frechet_distance(one, one + 3), 6)
    9.0
    >>> round(frechet_distance(one, 2 * one), 6)  # (sqrt 8 - sqrt 2)^2
    2.0
    """
    a, b = _checked(first), _checked(second)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and {b.shape[1]} numbers cannot be compared")
    gap = a.mean(0) - b.mean(0)  # (D,)
    left, right = _root(a), _root(b)
    shared = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    return max(0.0, float(gap @ gap + (left**2).sum() + (right**2).sum() - 2 * shared))


def energy_distance(first: np.ndarray, second: np.ndarray) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of paired sets, without bias; lower is better, 0 expected when they agree.

    Only terms of different pairs are averaged (the U-statistic of Gretton et al. 2012, eq. 4, with the kernel
    -|x - y|), so it is the same in expectation for any number of pairs, also when x_i and y_i show the same thing, and
    can be below 0 by chance. Identical sets have exactly 0.

    Args:
        first, second: (n, D) finite, n >= 2; row i of both belong together.

    Raises:
        ValueError: as `frechet_distance`, or not as many rows on both sides.

    >>> one, two = np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]])
    >>> energy_distance(one, two)
    2.0
    """
    a, b = _checked(first), _checked(second)
    if a.shape != b.shape:
        raise ValueError(f"paired sets have one shape, got {a.shape} and {b.shape}")
    apart = _apart(a, b)  # (n, n)
    terms = apart + apart.T - _apart(a, a) - _apart(b, b)
    return float((terms.sum() - np.trace(terms)) / (len(a) * (len(a) - 1)))


class Spread(NamedTuple):
    """A distance, its 95 % interval, and its value for two samples of one distribution of this size."""

    value: float
    low: float
    high: float
    null: float


def measured(
    distance: Distance, first: list[np.ndarray], second: list[np.ndarray], floor: float | None = 0.0, seed: int = 0
) -> Spread:
    """A distance of two sets of clips, each clip with one or more vectors.

    The interval is a delete-one-group jackknife over the pairs of clips (Efron and Tibshirani 1993, ch. 11); it covers
    the random choice of clips and not the bias of a small set, which is `null`.

    Args:
        first, second: for each clip (k, D); clip i of both belong together and are left out together.
        floor: nothing below it is possible (None: no bound).
        seed: of the exchanges for `null` and of the groups.

    Raises:
        ValueError: fewer than 3 clips, or not as many on both sides.
    """
    if len(first) != len(second) or len(first) < 3:
        raise ValueError(f"needs the same number of clips on both sides, at least 3: {len(first)} and {len(second)}")
    value = distance(np.concatenate(first), np.concatenate(second))
    thrift = 4 if first[0].shape[1] > _WIDE else 1
    error = _jackknife(distance, first, second, seed, _GROUPS // thrift)
    low, high = value - _CONFIDENT * error, value + _CONFIDENT * error
    low = low if floor is None else max(floor, low)
    null = expected_at_null(distance, first, second, seed, _EXCHANGES // thrift)
    return Spread(value, low, high, null)


def expected_at_null(
    distance: Distance, first: list[np.ndarray], second: list[np.ndarray], seed: int = 0, exchanges: int = _EXCHANGES
) -> float:
    """Mean distance when the clips of each pair are exchanged by chance: its value when the two sides do not differ.

    It is the bias of a small set, above 0 for the Fréchet distance and about 0 for the energy distance.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(exchanges):
        swap = rng.random(len(first)) < 0.5
        one = [b if s else a for a, b, s in zip(first, second, swap, strict=True)]
        two = [a if s else b for a, b, s in zip(first, second, swap, strict=True)]
        found.append(distance(np.concatenate(one), np.concatenate(two)))
    return float(np.mean(found))


def _jackknife(
    distance: Distance, first: list[np.ndarray], second: list[np.ndarray], seed: int, most: int = _GROUPS
) -> float:
    """Standard error by leaving out one group of pairs after another."""
    count = len(first)
    groups = np.array_split(np.random.default_rng(seed).permutation(count), min(count, most))
    found = []
    for group in groups:
        out = set(group.tolist())
        keep = [i for i in range(count) if i not in out]
        found.append(distance(np.concatenate([first[i] for i in keep]), np.concatenate([second[i] for i in keep])))
    values = np.array(found)
    return float(np.sqrt((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()))


def _apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, m), row by row so that equal vectors have exactly 0."""
    return np.array([np.linalg.norm(second - x, axis=-1) for x in first])


def _root(features: np.ndarray) -> np.ndarray:
    """A (min(n, D), D) with A^T A = the covariance (over n - 1) of features (n, D)."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


def _checked(features: np.ndarray) -> np.ndarray:
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or len(array) < 2 or not array.shape[1] or not np.isfinite(array).all():
        raise ValueError(f"a set of features is (n, D) with n >= 2 finite vectors, got shape {array.shape}")
    return array
