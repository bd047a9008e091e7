"""Settings of the methods under test; imports no torch."""

from dataclasses import dataclass


@dataclass
class Config:
    name: str = "good"
    steps: int = 4
    strength: float = 0.5


@dataclass
class NeedsArgument:
    steps: int
