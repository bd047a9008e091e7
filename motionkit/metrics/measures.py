"""The table of everything that can be measured on a video, and the columns that a comparison shows by default.

A measure is declared in the module of its kind (`by_pixels`, `by_judges`, `by_public`, or one of another package) and
registered as an entry point of `motionkit.metrics`; comparisons and protocols both read it from there.
"""

from __future__ import annotations

import logging

import numpy as np

from motionkit.errors import UserError, told
from motionkit.metrics.measure import Measure, Request, lacks
from motionkit.registry import METRICS, OWN
from motionkit.settings.fact import Fact

_log = logging.getLogger(__name__)


def columns() -> list[Measure]:
    """The measures that a comparison takes where it can, in the order of its columns; raises as `Group.every`."""
    placed = [(spec.column, spec.name, spec) for spec in METRICS.every() if spec.column is not None]
    return [spec for *_, spec in sorted(placed, key=lambda row: row[:2])]


def facts() -> dict[str, Fact]:
    """Name -> what a comparison's table says about it, in the order of its columns."""
    return {spec.name: spec.fact for spec in columns()}


def _figure(spec: Measure, request: Request) -> float | None:
    """A measure's figure; None, and a warning, where the measure of another package fails. Raises: as its function."""
    try:
        return spec.of(request)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if (dist := METRICS.dist_of(spec)).partition(" ")[0] in ("", OWN):
            raise
        _log.warning("the metric %s of %s fails and is left out: %s", spec.name, dist, told(error))
        return None


def measure(
    video: np.ndarray,
    driving: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    prompt: str = "",
) -> dict[str, float | None]:
    """Every figure of `facts` that can be had here; None where one has no value on this video.

    Args:
        video, truth: (F, H, W, 3) uint8 of one shape.
        driving: (F, h, w, 3) uint8 with the same number of frames; measured by only when there is no truth.
        reference: (h, w, 3) uint8, the picture that the video should keep to.
        prompt: what was asked for; the sprite judge looks only for motions and kinds of the sprite world in it.

    Raises:
        ValueError: shapes that do not go together.
        UserError: weights that are there but cannot be used.
    """
    request = Request(video, driving, truth, reference, prompt)
    values: dict[str, float | None] = {}
    for spec in columns():
        if not request.has(spec.fact.needs) or lacks(spec.fact, spec.judges, spec.needs, request.weights):
            continue
        value = _figure(spec, request)
        if value is not None or not spec.sparse:
            values[spec.name] = value
    return values
