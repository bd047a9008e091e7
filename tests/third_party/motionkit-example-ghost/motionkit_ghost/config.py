"""Settings of ghost; imports no torch."""

from dataclasses import dataclass

from motionkit import UserError


@dataclass
class GhostConfig:
    """Settings under `method.`."""

    name: str = "ghost"
    decay: float = 0.8  # what is left of the history one frame later
    threshold: int = 24  # change of a pixel that counts as motion, 0 to 255
    opacity: float = 0.6

    def __post_init__(self) -> None:
        """Check the ranges; raises UserError with one line."""
        for key in ("decay", "opacity"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"method.{key}={getattr(self, key)} is outside 0 to 1")
