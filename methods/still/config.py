"""The settings of still: there is nothing to set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class StillConfig:
    """Settings under `method.`."""

    name: str = "still"
