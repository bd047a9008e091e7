"""The keys of `transfer` and `train` as dataclasses: what the command line is checked against; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionkit.settings.setting import setting

_MAP = "Ready-made {0} in place of the estimator."
_TIME = "seconds (2.5, 1:05) or frames (60f)"
_DISPLAYS = {"terminal": "a line that is drawn anew", "jsonl": "an event a line", "none": "nothing"}


@dataclass
class RequestConfig:
    """What is asked for; the same keys for every method. `method`, `backbone` and `gpu` are groups with own schemas."""

    method: Any = setting(
        "See `motionkit methods`; its settings are method.KEY=VALUE (`motionkit methods NAME`).", None
    )
    backbone: Any = setting(
        "See `motionkit backbones`; backbone.path=FOLDER for weights of your own, backbone.lora=FILE merges a LoRA "
        "into them, backbone.lora_scale=1.0; [A,B] for several.",
        None,
    )
    gpu: Any = setting("One of auto, cpu, mps, 8gb, 12gb, 24gb, 80gb; single switches are gpu.KEY=VALUE.", None)
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
    seed: int = setting("The same seed makes the same result.", 0, low=0, high=2**63 - 1)
    frames: int | None = setting("Frames of the result; null is the driving clip's, as many as fit.", None)
    size: str | None = setting("A side in pixels, or WIDTHxHEIGHT; null is the backbone's own.", None)
    fps: float | None = setting("Frames a second of the result; null is the driving clip's.", None)
    start: str | None = setting(f"Where the part of the driving clip begins: {_TIME}; null is its beginning.", None)
    end: str | None = setting(
        "Where that part ends; null: the frames follow each other from start on, or are taken from the whole clip.",
        None,
    )
    reference_start: str | None = setting("The same of a reference video; null is its beginning.", None)
    reference_end: str | None = setting("The same of a reference video; null is its end.", None)
    cache: bool = setting("Whether finished stages are taken from the cache; false makes each one again.", True)
    progress: str = setting("What is shown of the progress.", "terminal", choices=_DISPLAYS)


@dataclass
class TransferConfig(RequestConfig):
    """The primary configuration of `motionkit transfer`."""

    output: str | None = setting(
        "The result: .mp4, .webm, .mov, .gif, .webp, .png, or a new folder for png frames; the run folder "
        "runs/transfer/... is made anyway, and null leaves the result there alone.",
        None,
    )
    output_metadata: bool = setting("Whether the settings are in the mp4's comment tag.", True)
    audio: bool = setting("Whether the driving clip's sound is kept.", True)
    alpha: bool | None = setting(
        "Whether the subject stands alone and the rest is transparent (not mp4); null: where the reference is "
        "transparent.",
        None,
    )
    loop: str = setting(
        "In which order the frames are shown.",
        "none",
        choices={"none": "forwards", "pingpong": "forwards and backwards"},
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
    gpu: Any = setting("One of auto, cpu, mps, 8gb, 12gb, 24gb, 80gb; single switches are gpu.KEY=VALUE.", None)
    train: Any = setting("The trainer's own settings (`--cfg job` lists them).", None)
    steps: int | None = setting("Steps of the optimiser; null is the trainer's own number.", None)
    seed: int = setting("The same seed makes the same weights.", 0, low=0, high=2**63 - 1)
    size: str | None = setting(
        "A side of the frames in pixels, or WIDTHxHEIGHT where the trainer takes that; null is the trainer's own.", None
    )
    output: str | None = setting(
        "Checkpoints, curve and weights; training in the same folder again resumes. Null is a new folder "
        "below runs/train/.",
        None,
    )
    resume: bool = setting("Whether a training in that folder is resumed; false starts again there.", True)
    progress: str = setting("What is shown of the progress.", "terminal", choices=_DISPLAYS)
