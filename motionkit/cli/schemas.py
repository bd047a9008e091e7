"""The keys of `transfer` and `train` as dataclasses: what the command line is checked against; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class RequestConfig:
    """What is asked for; the same keys for every method. `method`, `backbone` and `gpu` are groups with own schemas."""

    method: Any = None
    backbone: Any = None
    gpu: Any = None
    reference: str | None = None
    driving: str | None = None
    prompt: str = ""
    source_prompt: str = ""
    negative_prompt: str = ""
    poses: str | None = None
    masks: str | None = None
    depth: str | None = None
    correspondence: str | None = None
    keypoints: str | None = None
    seed: int = 0
    frames: int | None = None
    size: str | None = None  # a side in pixels, or WIDTHxHEIGHT
    fps: float | None = None
    start: str | None = None  # of the driving clip: seconds (2.5, 1:05) or frames (60f)
    end: str | None = None
    reference_start: str | None = None  # of a reference video
    reference_end: str | None = None
    cache: bool = True
    progress: str = "terminal"  # terminal | jsonl | none


@dataclass
class TransferConfig(RequestConfig):
    """The primary configuration of `motionkit transfer`."""

    output: str | None = None
    output_metadata: bool = True
    audio: bool = True  # keep the driving clip's sound
    alpha: bool | None = None  # the subject alone; null: where the reference is transparent
    loop: str = "none"  # none | pingpong


@dataclass
class TrainConfig:
    """The primary configuration of `motionkit train`; a trainer's own settings sit under `train.`."""

    method: Any = None
    data: Any = None
    gpu: Any = None
    train: Any = None
    steps: int | None = None
    seed: int = 0
    size: int | None = None
    output: str | None = None
    resume: bool = True
    progress: str = "terminal"
