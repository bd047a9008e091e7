"""Any declared measure of a video as a torchmetrics `Metric`: the mean over clips, synchronised between processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from motionkit.errors import MissingWeights
from motionkit.metrics.measure import Request, lacks
from motionkit.registry import METRICS


class VideoMetric(Metric):
    """The mean of one figure over the clips that have it.

    >>> import numpy as np
    >>> metric = VideoMetric("motion_amount")
    >>> step = np.zeros((3, 4, 4, 3), np.uint8); step[1:] = 255  # one change of 1 in two steps
    >>> metric.update(step); metric.update(torch.zeros(3, 4, 4, 3, dtype=torch.uint8))
    >>> metric.compute()
    tensor(0.2500, dtype=torch.float64)

    Args:
        name: a registered metric, such as "subject_consistency"; `fact` says what it is made by.
        weights: where the user keeps weights: name in `motionkit.metrics.needs.NEEDS` -> file, folder or hub id.
        given: for `torchmetrics.Metric`.

    Raises:
        UserError: an unknown name; MissingWeights: those that it needs are not on this machine.
    """

    is_differentiable = False
    full_state_update = False
    total: Tensor
    clips: Tensor

    def __init__(self, name: str, weights: Mapping[str, str] | None = None, **given: Any) -> None:
        super().__init__(**given)
        self.measure, self.weights = METRICS.get(name), dict(weights or {})
        self.fact = self.measure.fact
        if line := lacks(self.fact, self.measure.judges, self.measure.needs, self.weights):
            raise MissingWeights(line)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """As the figure declares it; None where no value is best by itself."""
        return {"higher": True, "lower": False}.get(self.fact.better)

    def update(self, video: Tensor | np.ndarray, **others: Any) -> None:
        """Measure one more clip; one without a value is not counted.

        Args:
            video: (F, H, W, 3) uint8.
            others: what it is compared with, as of `motionkit.metrics.Request`: truth, driving, reference, prompt.

        Raises:
            ValueError: what the figure needs was not given, or shapes that do not go together.
        """
        given = {name: _array(value) for name, value in others.items()}
        request = Request(_array(video), weights=self.weights, **given)
        if not request.has(self.fact.needs):
            raise ValueError(f"{self.fact.name} is measured against the {self.fact.needs}: give {self.fact.needs}=")
        value = self.measure.of(request)
        if value is not None:
            self.total += value
            self.clips += 1

    def compute(self) -> Tensor:
        """The mean over the clips; not a number where none had a value."""
        return self.total / self.clips


def _array(value: Any) -> Any:
    return value.cpu().numpy() if isinstance(value, Tensor) else value
