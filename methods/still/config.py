"""The settings of still, which has none."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.settings.setting import setting


@dataclass
class StillConfig:
    """Settings under `method.`."""

    name: str = setting("The method's name.", "still")
