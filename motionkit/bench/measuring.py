"""The metrics of a protocol by name, and the figures of a table's rows that are taken over many videos at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from motionkit.errors import unknown
from motionkit.hashing import hash_json
from motionkit.metrics.suite import FACTS, Fact, measure


class MetricProtocol(Protocol):
    """What the bench asks of a metric protocol."""

    @property
    def facts(self) -> Mapping[str, Fact]:
        """Every figure of `video`, by name."""

    @property
    def hash(self) -> str:
        """Changes when a figure may come out otherwise."""

    def video(
        self, video: np.ndarray, *, driving: np.ndarray | None, truth: np.ndarray | None,
        reference: np.ndarray | None, prompt: str,
    ) -> Mapping[str, float | None]:  # fmt: skip
        """Figures of one video, all (F, H, W, 3) uint8; None where there is none."""

    def sets(self, videos: Sequence[np.ndarray], truths: Sequence[np.ndarray], prompts: Sequence[str]) -> Mapping:
        """Figures of a whole row: name -> `SetFigure` (value, low, high, n, skipped)."""


class SuiteMetrics:
    """`motionkit.metrics.suite` as a metric protocol; nothing is taken over sets."""

    facts: Mapping[str, Fact] = FACTS
    hash: str = hash_json(["suite", sorted(FACTS)])

    def video(
        self, video: np.ndarray, *, driving: np.ndarray | None, truth: np.ndarray | None,
        reference: np.ndarray | None, prompt: str,
    ) -> Mapping[str, float | None]:  # fmt: skip
        """As `motionkit.metrics.suite.measure`."""
        return measure(video, driving, truth, reference, prompt)

    def sets(
        self, videos: Sequence[np.ndarray], truths: Sequence[np.ndarray], prompts: Sequence[str]
    ) -> Mapping[str, Any]:
        """Nothing."""
        return {}


def get(name: str) -> MetricProtocol:
    """The metric protocol of that name. Raises: UserError with the nearest name and the whole list."""
    if name != "sprites-v1":
        raise unknown("metrics", name, ["sprites-v1"])
    return SuiteMetrics()
