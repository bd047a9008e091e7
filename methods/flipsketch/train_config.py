"""Settings of `motionkit train method=flipsketch`, under `train.`; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from motionkit.errors import UserError, unknown
from motionkit.training.schedule import SCHEDULES

TIMESTEPS = ("uniform", "late")
_LIMITS = {
    "rank": (1, 256),
    "alpha": (1e-6, 1e4),
    "dropout": (0, 0.9),
    "frames": (1, 1000),
    "fps": (0.1, 240),
    "batch": (1, 4096),
    "accumulate": (1, 4096),
    "lr": (1e-9, 1),
    "warmup": (0, 1_000_000),
    "weight_decay": (0, 1),
    "clip": (1e-6, 1e6),
    "ema": (0, 0.99999),
    "caption_dropout": (0, 1),
    "noise_share": (0, 1),
    "noise_share_clips": (0, 1),
    "sprite_clips": (2, 100_000),
    "save_every": (0, 1e9),
    "log_every": (1, 1_000_000),
}


@dataclass(frozen=True)
class Recipe:
    """What a backbone is trained with unless the user says otherwise."""

    steps: int = 2500  # the paper's number
    lr: float = 1e-4  # the trainer that the authors credit has 5e-6, for factors that start with other variances
    batch: int = 1
    schedule: str = "constant"
    ema: float = 0.0
    timesteps: str = "uniform"
    noise_share: float = 0.0
    noise_share_clips: float = 1.0


_SMALL = Recipe(350, 1e-3, 2, "cosine", 0.98, "late")
RECIPES = {
    # Their own training shares 0.7 of the noise's variance in two clips of three (motionkit/training).
    "pocket-modelscope": Recipe(350, 1e-3, 2, "cosine", 0.98, "late", 0.7, 2 / 3),
    "pocket-animatediff": Recipe(350, 1e-3, 2, "cosine", 0.98, "late", 0.7, 2 / 3),
    "tiny-modelscope": _SMALL,
    "tiny-animatediff-sd15": _SMALL,
}


@dataclass
class TrainOptions:
    """How a sketch LoRA is trained (FlipSketch, arXiv 2411.10818, section 4.4: rank 4, 2500 steps; the rest is open).

    None stands for the recipe of the backbone.
    """

    backbone: str = "pocket-modelscope"
    backbone_path: str | None = None
    rank: int = 4
    alpha: float | None = None  # the change of a weight is alpha / rank * B A; None: the rank, so a factor of 1
    dropout: float = 0.0  # of the LoRA's inputs
    targets: str = "all"  # all (linear and convolutions) | linear | attention | temporal | a pattern of layer names
    text_encoder: bool = False  # a LoRA on the text encoder too, as the authors have
    frames: int = 10  # of a training clip; a longer clip is cut at a random place
    fps: float | None = None  # rate at which clips are read; None: each clip's own
    batch: int | None = None  # clips
    accumulate: int = 1  # batches to one step of the optimiser
    lr: float | None = None
    schedule: str | None = None  # constant | cosine
    warmup: int = 20  # steps
    weight_decay: float = 0.01
    clip: float = 1.0  # norm of the gradient
    ema: float | None = None  # decay of the averaged weights that are written; 0: the last weights
    caption_dropout: float = 0.1  # share of clips that are shown with an empty caption
    noise_share: float | None = None  # part of the noise's variance that the frames of a clip have in common
    noise_share_clips: float | None = None  # share of the clips whose frames have noise in common
    timesteps: str | None = None  # uniform | late: more often where the picture is still noise
    model_dropout: bool = False  # the backbone's own dropout layers are active
    sprite_clips: int = 400  # with data=sprites
    half: bool = False  # write the file in float16
    save_every: float = 120.0  # seconds
    log_every: int = 20  # steps

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"train.{name}={value:g} is outside {low:g} to {high:g}")
        for name, known in (("schedule", SCHEDULES), ("timesteps", TIMESTEPS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise unknown(f"value of train.{name}", value, known)

    @property
    def recipe(self) -> Recipe:
        """The backbone's recipe with everything in it that is set here."""
        base = RECIPES.get(self.backbone, Recipe())
        values = {name: getattr(base, name) for name in Recipe.__dataclass_fields__}
        values |= {name: getattr(self, name) for name in values if getattr(self, name, None) is not None}
        return Recipe(**values)

    @property
    def scale(self) -> float:
        """alpha / rank: the factor on B A."""
        return (self.rank if self.alpha is None else self.alpha) / self.rank
