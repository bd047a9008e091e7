"""Settings of `motionkit train method=animatex`, under `train.`; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from motionkit.errors import UserError, unknown
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.training.schedule import SCHEDULES

from .pool import IndicatorSettings

# What learns: everything; of a small network what keeps its file small, with attention along time or without; what is
# not the UNet; layers along time alone.
LEARN = ("all", "pocket-time", "pocket", "conditions", "temporal")
_WORDS = {
    "schedule": tuple(SCHEDULES),
    "timesteps": ("uniform", "late"),
    "reference_mode": ("local", "latent", "both"),
    "temporal": ("transformer", "mamba"),
    "learn": ("auto", *LEARN),
    "image_encoder": ("auto", "train", "frozen"),
    "poses": ("both", "given", "estimated"),
}
_LIMITS = {
    "frames": (1, 1000),
    "stride": (1, 100),
    "fps": (0.1, 240),
    "batch": (1, 4096),
    "accumulate": (1, 4096),
    "lr": (1e-9, 1),
    "indicator_lr": (0, 1),
    "warmup": (0, 1_000_000),
    "weight_decay": (0, 1),
    "clip": (1e-6, 1e6),
    "ema": (0, 0.99999),
    "drop": (0, 1),
    "all_drop": (0, 1),
    "all_keep": (0, 1),
    "offset": (0, 1),
    "pose_weight": (0, 1000),
    "sprite_clips": (2, 100_000),
    "sprite_frames": (2, 1000),
    "save_every": (0, 1e9),
    "log_every": (1, 1_000_000),
}


@dataclass(frozen=True)
class Recipe:
    """What a backbone is trained with unless the user says otherwise; the defaults are what the paper says.

    Attributes:
        steps: optimiser steps.  batch: clips.  frames: of a clip.
        lr, indicator_lr: of everything, and of the implicit pose indicator.
        schedule, warmup: constant or cosine to 2 %, after so many steps.  ema: decay of the averaged weights.
        timesteps: uniform | late (more often where the picture is still noise).
        pose_weight: how much more errors near the skeleton count.
    """

    steps: int = 100_000  # the paper does not say
    batch: int = 1
    frames: int = 32
    lr: float = 5e-5
    indicator_lr: float = 5e-7
    schedule: str = "cosine"
    warmup: int = 10
    ema: float = 0.9999
    timesteps: str = "uniform"
    pose_weight: float = 0.0


_POCKET = Recipe(2000, 4, 8, 7e-4, 1e-3, "cosine", 50, 0.995, "late", 2.0)
RECIPES = {
    "pocket-animatex": _POCKET,
    "pocket-animatex-mamba": _POCKET,
    "tiny-animatex": Recipe(20, 2, 3, 1e-3, 1e-3, "cosine", 2, 0.9),
}
TRAINED_ENCODER = ("pocket-animatex", "pocket-animatex-mamba", "tiny-animatex")  # their image encoder learns too


@dataclass
class VariantSettings:
    """A new network's indicator as the paper's tables 4 and 5 vary it; see the backbone's configuration."""

    query: str = "both"  # both | keypoints (w/o LQ) | learned (w/o DQ) | features (KV_Q)
    parallel: bool = False  # motion attention beside the appearance attention (PA)


@dataclass
class TrainOptions:
    """How an Animate-X network is trained (arXiv 2410.10306, section 3 and appendix A; the rest is open).

    None stands for the recipe of the backbone.
    """

    backbone: str = "pocket-animatex"
    backbone_path: str | None = None
    start: str = "auto"  # auto | own (the backbone's weights) | video (a new network on the video model) | its folder
    temporal: str | None = None  # transformer | mamba | None: the start's own; another kind begins as the identity
    variant: VariantSettings = field(default_factory=VariantSettings)  # of a new network: the paper's ablations
    learn: str = "auto"  # auto (all; pocket-time on the pocket) | all | pocket-time | pocket | conditions | temporal
    image_encoder: str = "auto"  # auto (trained on the small models) | train | frozen (features computed once)
    reference_mode: str = "both"  # local | latent | both: how the reference enters
    indicator: bool = True  # false: keypoints and image features never reach the motion attention
    epi: IndicatorSettings = field(default_factory=IndicatorSettings)  # the explicit pose indicator
    frames: int | None = None  # of a training clip
    stride: int = 1  # every so many frames of a clip; a smaller one where the clip is short
    fps: float | None = None  # rate at which clips are read; None: each clip's own
    poses: str = "both"  # given (files beside the clips) | estimated | both (one or the other, by chance)
    pose: PoseSettings = field(default_factory=PoseSettings)
    batch: int | None = None  # clips
    accumulate: int = 1  # batches to one step of the optimiser
    lr: float | None = None
    indicator_lr: float | None = None
    schedule: str | None = None  # constant | cosine
    warmup: int | None = None  # steps
    weight_decay: float = 0.01
    clip: float = 1.0  # norm of the gradient
    ema: float | None = None
    drop: float = 0.5  # share of clips that lose the reference's pixels, the pose images, the image tokens, each
    all_drop: float = 0.1  # share of clips that lose every condition: the unconditional pass
    all_keep: float = 0.1  # share of clips that keep all
    offset: float = 0.1  # strength of the noise that a frame's channel has in common
    timesteps: str | None = None  # uniform | late
    pose_weight: float | None = None
    recolour: bool = True  # a trained image encoder sees driving frames in other colours: no look leaks through it
    sprite_clips: int = 400  # with data=sprites
    sprite_frames: int = 16
    cache: str | None = None  # folder of encoded clips, to be shared by runs; None: below the run's own
    half: bool = True  # write weights in float16
    save_every: float = 120.0  # seconds
    log_every: int = 20  # steps

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"train.{name}={value:g} is outside {low:g} to {high:g}")
        for name, known in _WORDS.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise unknown(f"value of train.{name}", value, known)
        if self.all_drop + self.all_keep > 1:
            raise UserError("train.all_drop and train.all_keep are shares of the clips: together at most 1")
        self.epi.groups = tuple(self.epi.groups)
        self.epi.check()

    @property
    def recipe(self) -> Recipe:
        """The backbone's recipe with everything in it that is set here."""
        base = RECIPES.get(self.backbone, Recipe())
        values = {name: getattr(base, name) for name in Recipe.__dataclass_fields__}
        values |= {name: getattr(self, name) for name in values if getattr(self, name, None) is not None}
        return Recipe(**values)

    @property
    def trains_encoder(self) -> bool:
        """Whether the image encoder learns."""
        return self.image_encoder == "train" or (self.image_encoder == "auto" and self.backbone in TRAINED_ENCODER)

    @property
    def learns(self) -> str:
        """Which weights learn, a word of LEARN."""
        return self.learn if self.learn != "auto" else "pocket-time" if self.backbone.startswith("pocket-") else "all"
