"""Settings of `motionkit train method=animatex`, under `train.`; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from motionkit.errors import UserError
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.settings.setting import check, is_open, setting

from .pool import IndicatorSettings

LEARN = {
    "all": "everything",
    "pocket-time": "a subset that keeps the file small, including temporal attention",
    "pocket": "the same subset without temporal attention",
    "conditions": "everything except the UNet",
    "temporal": "only the temporal layers",
}
_SCHEDULES = {"constant": "the same to the end", "cosine": "falling to 2 %"}
_TIMESTEPS = {"uniform": "all equally often", "late": "more often where the picture is still noise"}


@dataclass(frozen=True)
class Recipe:
    """The default training settings for a backbone; the defaults here are the paper's.

    Attributes:
        steps: optimiser steps.  batch: clips.  frames: of a clip.
        lr, indicator_lr: of everything, and of the implicit pose indicator.
        schedule, warmup: constant or cosine to 2 %, after so many steps.  ema: decay of the averaged weights.
        timesteps: uniform | late (more often where the picture is still noise).
        pose_weight: how much more errors near the skeleton count.
    """

    steps: int = 100_000  # not stated in the paper
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
TRAINED_ENCODER = ("pocket-animatex", "pocket-animatex-mamba", "tiny-animatex")  # their image encoder is trained too


@dataclass
class VariantSettings:
    """A new indicator, as varied in the paper's tables 4 and 5; see the backbone's configuration."""

    query: str = setting(
        "The queries of the implicit pose indicator.",
        "both",
        choices={
            "both": "learned tokens plus keypoint queries",
            "keypoints": "keypoint queries only (w/o LQ)",
            "learned": "learned tokens only (w/o DQ)",
            "features": "learned tokens plus image features, which attend to the keypoints (KV_Q)",
        },
    )
    parallel: bool = setting("Whether motion attention is parallel to the appearance attention (PA).", False)


@dataclass
class TrainOptions:
    """How an Animate-X network is trained (arXiv 2410.10306, section 3 and appendix A; the rest is open).

    A setting without a default takes the backbone's default recipe.
    """

    backbone: str = setting("The backbone to train.", "pocket-animatex")
    backbone_path: str | None = setting("Local folder or hub id of its weights; null uses the default.", None)
    start: str = setting(
        "Initial weights: auto, own (the backbone's), video (a new network on the video model), or the "
        "folder of such a model.",
        "auto",
    )
    temporal: str | None = setting(
        "Kind of the temporal layers; null keeps the initial network's, another kind starts as the identity.",
        None,
        choices={"transformer": "attention", "mamba": "Mamba"},
    )
    renew: str = setting(
        "Which layers of the initial network are trained from scratch.",
        "nothing",
        choices={
            "nothing": "none of them",
            "time": "the temporal layers, even if it has some of that kind",
            "indicator": "the implicit pose indicator and the attention that reads it",
        },
    )
    variant: VariantSettings = field(default_factory=VariantSettings)  # of a new indicator: the paper's ablations
    learn: str = setting(
        "Which weights are trained.", "auto", choices={"auto": "all; pocket-time on the pocket backbones"} | LEARN
    )
    image_encoder: str = setting(
        "Whether the image encoder is trained.",
        "auto",
        choices={"auto": "only for the small models", "train": "yes", "frozen": "no: its features are computed once"},
    )
    reference_mode: str = setting(
        "How the reference enters the network.",
        "both",
        choices={
            "local": "its pixels beside the noise",
            "latent": "as a latent before the first frame",
            "both": "both ways",
        },
    )
    indicator: bool = setting("Whether the motion attention gets keypoints and image features.", True)
    epi: IndicatorSettings = field(default_factory=IndicatorSettings)  # the explicit pose indicator
    frames: int = setting("Frames of a training clip.", low=1, high=1000, unit="frames")
    stride: int = setting(
        "Take every N-th frame of a clip; a smaller step is used for short clips.", 1, low=1, high=100
    )
    fps: float | None = setting(
        "Frame rate at which clips are read; null keeps each clip's own.", None, low=0.1, high=240, unit="frames/s"
    )
    poses: str = setting(
        "Where poses come from.",
        "both",
        choices={"both": "either, at random", "given": "files beside the clips", "estimated": "an estimator"},
    )
    pose: PoseSettings = field(default_factory=PoseSettings)
    batch: int = setting("Clips per batch.", low=1, high=4096)
    accumulate: int = setting("Batches per optimiser step (gradient accumulation).", 1, low=1, high=4096)
    lr: float = setting("Learning rate.", low=1e-9, high=1)
    indicator_lr: float = setting("Learning rate of the implicit pose indicator.", low=0, high=1)
    schedule: str = setting("Learning-rate schedule.", choices=_SCHEDULES)
    warmup: int = setting("Warm-up steps of the learning rate.", low=0, high=1_000_000, unit="steps")
    weight_decay: float = setting("Weight decay.", 0.01, low=0, high=1)
    clip: float = setting("Maximum norm of the gradient.", 1.0, low=1e-6, high=1e6)
    ema: float = setting("Decay of the averaged weights (EMA).", low=0, high=0.99999)
    drop: float = setting(
        "Probability of dropping each of: the reference's pixels, the pose images, the image tokens.",
        0.5,
        low=0,
        high=1,
    )
    all_drop: float = setting("Share of clips without any condition, for guidance.", 0.1, low=0, high=1)
    all_keep: float = setting("Share of clips that keep all conditions.", 0.1, low=0, high=1)
    offset: float = setting(
        "Strength of the noise offset that all positions of a frame's channel have in common.", 0.1, low=0, high=1
    )
    noise_share: float = setting(
        "Largest share of the noise's variance that the frames of a clip have in common; each clip's is drawn evenly "
        "up to it. For sampling with method.sample.noise_share.",
        0.0,
        low=0,
        high=1,
    )
    timesteps: str = setting("How noise levels are drawn.", choices=_TIMESTEPS)
    pose_weight: float = setting("Extra weight of errors near the skeleton.", low=0, high=1000)
    recolour: bool = setting(
        "Whether a trained image encoder sees recoloured driving frames, so that their look does not leak.", True
    )
    sprite_clips: int = setting("Number of rendered clips, with data=sprites.", 400, low=2, high=100_000)
    sprite_frames: int = setting("Frames of each rendered clip.", 16, low=2, high=1000, unit="frames")
    cache: str | None = setting("Folder of encoded clips to share between runs; null uses the run's folder.", None)
    half: bool = setting("Whether weights are written in float16.", True)
    save_every: float = setting(
        "Time between checkpoints; longer where writing one takes more than a twentieth of it.",
        120.0,
        low=0,
        high=1e9,
        unit="s",
    )
    save_steps: int = setting("Steps between checkpoints as well; 0 saves by time alone.", 0, low=0, high=1_000_000)
    checkpoint: str = setting(
        "What a checkpoint keeps.",
        "exact",
        choices={
            "exact": "the full state: a resumed run gives the same result as an uninterrupted one",
            "half": "averages and moments in half precision, 5/8 of the size; almost the same result",
        },
    )
    shard: float = setting(
        "Largest file of a checkpoint; a larger state is written as several files; 0 writes one file always.",
        5.0,
        low=0,
        high=1e6,
        unit="GB",
    )
    log_every: int = setting("Steps between lines of the training curve.", 20, low=1, high=1_000_000, unit="steps")

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        self.epi.check()
        check(self, "train.")
        if self.all_drop + self.all_keep > 1:
            raise UserError("train.all_drop + train.all_keep must be at most 1: they are shares of the clips")
        self.epi.groups = tuple(self.epi.groups)

    @property
    def recipe(self) -> Recipe:
        """The backbone's default recipe with all values that are set here."""
        base = RECIPES.get(self.backbone, Recipe())
        values = {name: getattr(base, name) for name in Recipe.__dataclass_fields__}
        values |= {name: value for name, value in vars(self).items() if name in values and not is_open(value)}
        return Recipe(**values)

    @property
    def trains_encoder(self) -> bool:
        """Whether the image encoder is trained."""
        return self.image_encoder == "train" or (self.image_encoder == "auto" and self.backbone in TRAINED_ENCODER)

    @property
    def learns(self) -> str:
        """Which weights are trained, a key of LEARN."""
        return self.learn if self.learn != "auto" else "pocket-time" if self.backbone.startswith("pocket-") else "all"
