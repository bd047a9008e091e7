"""The settings of still: there is nothing to set."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.settings.setting import setting


@dataclass
class StillConfig:
    """Settings under `method.`."""

    name: str = setting("The method's name.", "still")
