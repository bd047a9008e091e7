"""The keys of `transfer` and `train` as dataclasses: what the command line is checked against; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionkit.running.progress import VIEWERS
from motionkit.settings.setting import setting
from motionkit.training.tracker import NAMES as TRACKERS

_MAP = "Ready-made {0} in place of the estimator."
_TIME = "seconds (2.5, 1:05) or frames (60f)"
_DISPLAYS = {"terminal": "one line, redrawn", "jsonl": "one JSON event per line", "none": "nothing"}


@dataclass
class RequestConfig:
    """The request; the same keys for every method. `method`, `backbone` and `gpu` are groups with own schemas."""

    method: Any = setting(
        "See `motionkit methods`; its settings are method.KEY=VALUE (`motionkit methods NAME`).", None
    )
    backbone: Any = setting(
        "See `motionkit backbones`; backbone.path=FOLDER for weights of your own, backbone.lora=FILE merges a LoRA "
        "into them, backbone.lora_scale=1.0; [A,B] for several.",
        None,
    )
    gpu: Any = setting("One of auto, cpu, mps, or <N>gb for a card of that size; switches are gpu.KEY=VALUE.", None)
    reference: str | None = setting(
        "Image or video of the character (mp4, gif, png, jpg, webp, or a folder of images).", None
    )
    driving: str | None = setting("Video of the motion.", None)
    prompt: str = setting("What the result shows.", "")
    source_prompt: str = setting("What the driving video shows.", "")
    negative_prompt: str = setting("What to avoid.", "")
    poses: str | None = setting(_MAP.format("poses of the driving clip"), None)
    masks: str | None = setting(_MAP.format("masks of the subject"), None)
    depth: str | None = setting(_MAP.format("depth"), None)
    correspondence: str | None = setting(_MAP.format("correspondence with the first frame"), None)
    keypoints: str | None = setting(_MAP.format("keypoints"), None)
    sampler: str = setting("The sampler (`motionkit methods NAME`); auto is the backbone's own.", "auto")
    seed: int = setting("Random seed; the same seed gives the same result.", 0, low=0, high=2**63 - 1)
    frames: int | None = setting(
        "Number of frames of the result; null takes the driving clip's, at most 10 unless fps= is given.", None
    )
    size: str | None = setting("A side in pixels, or WIDTHxHEIGHT; null is the backbone's own.", None)
    fps: float | None = setting("Frames per second of the result; null takes the driving clip's.", None)
    start: str | None = setting(
        f"Start of the part of the driving clip to use: {_TIME}; null is the clip's start.", None
    )
    end: str | None = setting("End of that part; null: frames are taken one after another from the start on.", None)
    reference_start: str | None = setting("The same for a reference video; null is its start.", None)
    reference_end: str | None = setting("The same for a reference video; null is its end.", None)
    cache: bool = setting("Whether finished stages are taken from the cache; false computes each one again.", True)
    progress: str = setting("How progress is shown.", "terminal", choices=_DISPLAYS)


@dataclass
class TransferConfig(RequestConfig):
    """The primary configuration of `motionkit transfer`."""

    output: str | None = setting(
        "Where to write the result: .mp4, .webm, .mov, .gif, .webp, .png, or a new folder for png frames; the folder "
        "runs/transfer/... is always written, and null writes nothing else.",
        None,
    )
    output_metadata: bool = setting("Whether the settings are written into the mp4's comment tag.", True)
    audio: bool = setting("Whether the result keeps the driving clip's sound.", True)
    alpha: bool | None = setting(
        "Whether the background is made transparent (not in mp4); null: when the reference is transparent.", None
    )
    loop: str = setting(
        "In which order the frames are shown.",
        "none",
        choices={"none": "forwards", "pingpong": "forwards and backwards"},
    )
    viewer: str = setting(
        "Where clips, points, masks, flow and latents of each step are shown.", "none", choices=VIEWERS
    )


@dataclass
class TrainConfig:
    """The primary configuration of `motionkit train`; a trainer's own settings sit under `train.`."""

    method: Any = setting("A method that has a trainer; its settings are method.KEY=VALUE.", None)
    data: Any = setting(
        "The procedural world (sprites; data.setting=easy|full|wild), or a folder of clips: data=FOLDER is short for "
        "data=folder data.path=FOLDER.",
        None,
    )
    gpu: Any = setting("One of auto, cpu, mps, or <N>gb for a card of that size; switches are gpu.KEY=VALUE.", None)
    train: Any = setting("The trainer's own settings (`--cfg job` lists them).", None)
    steps: int | None = setting("Optimiser steps; null is the trainer's default.", None)
    seed: int = setting("Random seed; the same seed gives the same weights.", 0, low=0, high=2**63 - 1)
    size: str | None = setting(
        "Side of the square frames in pixels, or WIDTHxHEIGHT where a trainer takes that; null is its default.", None
    )
    output: str | None = setting(
        "Checkpoints, curve and weights; training in the same folder again resumes. Null is a new folder "
        "below runs/train/.",
        None,
    )
    resume: bool = setting("Whether to resume a training in that folder; false starts over.", True)
    progress: str = setting("How progress is shown.", "terminal", choices=_DISPLAYS)
    tracker: str = setting("Where curves and sample clips go beside curve.csv.", "none", choices=TRACKERS)
    validate: int = setting("Steps between two validations that the tracker is shown; 0: never.", 500, low=0)
