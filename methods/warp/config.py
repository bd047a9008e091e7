"""The settings of the optical-flow warp; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.perception.estimators import Words
from motionkit.settings.setting import check, setting

FLOWS = Words("flow")
PATHS = {"direct": "from each frame to the first", "chain": "the flows of neighbouring frames, added up"}


@dataclass
class WarpConfig:
    """Settings under `method.`."""

    name: str = setting("The method's name.", "warp")
    flow: str = setting("How optical flow is estimated.", "dis", choices=FLOWS)
    path: str = setting("Between which frames flow is estimated.", "direct", choices=PATHS)

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        check(self)
