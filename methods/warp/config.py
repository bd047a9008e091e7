"""The settings of the optical-flow warp; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.errors import UserError
from motionkit.perception.estimators import Words

FLOWS = Words("flow")
PATHS = ("direct", "chain")


@dataclass
class WarpConfig:
    """Settings under `method.`."""

    name: str = "warp"
    flow: str = "dis"  # dis | farneback | the word of another registered estimator of flow
    path: str = "direct"  # direct: from each frame to the first | chain: add up the flows of neighbouring frames

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        for key, value, options in (("flow", self.flow, FLOWS), ("path", self.path, PATHS)):
            if value not in options:
                raise UserError(f"method.{key}={value} is unknown: choose {', '.join(options)}")
