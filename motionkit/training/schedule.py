"""Learning-rate schedules: the share of the peak rate at a share `done` in [0, 1] of the steps."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]
LEAST = 0.02  # share of the peak at which a falling rate ends


def constant(done: float) -> float:
    """The peak rate from beginning to end."""
    return 1.0


def cosine(done: float) -> float:
    """Half a cosine from the peak down to 2 % of it."""
    return LEAST + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def falling(share: float) -> Schedule:
    """The peak rate, which falls linearly to 2 % within the last `share` of the steps."""
    return lambda done: max(LEAST, min(1.0, (1 - done) / share))


def cosine_tail(share: float) -> Schedule:
    """The peak rate, with half a cosine down to zero within the last `share` of the steps."""
    return lambda done: 0.5 * (1 + math.cos(math.pi * (max(0.0, done - (1 - share)) / share)))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}


def warmth(steps: int, warmup: int) -> float:
    """Linear warm-up: the factor after `steps` steps, 1 from step `warmup` - 1 on; no warm-up is 0 or 1."""
    return min(1.0, (steps + 1) / max(warmup, 1))
