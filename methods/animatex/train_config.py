"""Settings of `motionkit train method=animatex`, under `train.`; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from motionkit.errors import UserError
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.settings.setting import check, is_open, setting

from .pool import IndicatorSettings

LEARN = {
    "all": "everything",
    "pocket-time": "of a small network what keeps its file small, attention along time included",
    "pocket": "the same without attention along time",
    "conditions": "what is not the UNet",
    "temporal": "the layers along time alone",
}
_SCHEDULES = {"constant": "the same to the end", "cosine": "falling to 2 %"}
_TIMESTEPS = {"uniform": "all alike", "late": "more often where the picture is still noise"}


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

    query: str = setting(
        "What reads in the implicit pose indicator.",
        "both",
        choices={
            "both": "learned tokens and the keypoints' queries",
            "keypoints": "the keypoints' alone (w/o LQ)",
            "learned": "learned tokens alone (w/o DQ)",
            "features": "learned tokens and the image features, which read the keypoints (KV_Q)",
        },
    )
    parallel: bool = setting("Whether motion attention stands beside the appearance attention (PA).", False)


@dataclass
class TrainOptions:
    """How an Animate-X network is trained (arXiv 2410.10306, section 3 and appendix A; the rest is open).

    A setting without a default comes from the recipe of the backbone.
    """

    backbone: str = setting("The backbone that is trained.", "pocket-animatex")
    backbone_path: str | None = setting("Its local folder, or another hub id; null is its own place.", None)
    start: str = setting(
        "What training begins as: auto, own (the backbone's weights), video (a new network on the video model), or the "
        "folder of such a model.",
        "auto",
    )
    temporal: str | None = setting(
        "The layers along time; null is the start's own, and another kind begins as the identity.",
        None,
        choices={"transformer": "attention", "mamba": "Mamba"},
    )
    renew: bool = setting(
        "Whether the layers along time begin anew even where the start has some of that kind, to compare kinds.", False
    )
    variant: VariantSettings = field(default_factory=VariantSettings)  # of a new network: the paper's ablations
    learn: str = setting(
        "Which weights learn.", "auto", choices={"auto": "all; pocket-time on the pocket backbones"} | LEARN
    )
    image_encoder: str = setting(
        "Whether the image encoder learns.",
        "auto",
        choices={"auto": "on the small models", "train": "yes", "frozen": "no: its features are computed once"},
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
    indicator: bool = setting("Whether keypoints and image features reach the motion attention.", True)
    epi: IndicatorSettings = field(default_factory=IndicatorSettings)  # the explicit pose indicator
    frames: int = setting("Frames of a training clip.", low=1, high=1000, unit="frames")
    stride: int = setting(
        "Every so many frames of a clip are taken; fewer are skipped where it is short.", 1, low=1, high=100
    )
    fps: float | None = setting(
        "Rate at which clips are read; null is each clip's own.", None, low=0.1, high=240, unit="frames/s"
    )
    poses: str = setting(
        "Where poses come from.",
        "both",
        choices={"both": "one or the other, by chance", "given": "files beside the clips", "estimated": "an estimator"},
    )
    pose: PoseSettings = field(default_factory=PoseSettings)
    batch: int = setting("Clips in a batch.", low=1, high=4096)
    accumulate: int = setting("Batches to one step of the optimiser.", 1, low=1, high=4096)
    lr: float = setting("Learning rate.", low=1e-9, high=1)
    indicator_lr: float = setting("Learning rate of the implicit pose indicator.", low=0, high=1)
    schedule: str = setting("The learning rate over the steps.", choices=_SCHEDULES)
    warmup: int = setting("Steps in which the learning rate rises.", low=0, high=1_000_000, unit="steps")
    weight_decay: float = setting("Weight decay.", 0.01, low=0, high=1)
    clip: float = setting("The gradient's norm is cut to this.", 1.0, low=1e-6, high=1e6)
    ema: float = setting("Decay of the averaged weights.", low=0, high=0.99999)
    drop: float = setting(
        "Share of clips that lose the reference's pixels, the pose images, the image tokens, each.", 0.5, low=0, high=1
    )
    all_drop: float = setting("Share of clips that lose every condition: the unconditional pass.", 0.1, low=0, high=1)
    all_keep: float = setting("Share of clips that keep all conditions.", 0.1, low=0, high=1)
    offset: float = setting("Strength of the noise that all places of a frame's channel share.", 0.1, low=0, high=1)
    timesteps: str = setting("Which noise levels are trained.", choices=_TIMESTEPS)
    pose_weight: float = setting("How much more errors near the skeleton count.", low=0, high=1000)
    recolour: bool = setting(
        "Whether a trained image encoder sees driving frames in other colours, so that no look leaks through it.", True
    )
    sprite_clips: int = setting("Clips that are drawn, with data=sprites.", 400, low=2, high=100_000)
    sprite_frames: int = setting("Frames of each of them.", 16, low=2, high=1000, unit="frames")
    cache: str | None = setting("Folder of encoded clips that runs share; null is below the run's own folder.", None)
    half: bool = setting("Whether weights are written in float16.", True)
    save_every: float = setting(
        "Time between checkpoints; longer where writing one takes more than a twentieth of it.",
        120.0,
        low=0,
        high=1e9,
        unit="s",
    )
    save_steps: int = setting("Steps between checkpoints as well; 0 goes by time alone.", 0, low=0, high=1_000_000)
    checkpoint: str = setting(
        "What a checkpoint keeps.",
        "exact",
        choices={
            "exact": "the whole state: a stopped run ends as one that was not",
            "half": "means and moments in half precision, five eighths of the size: nearly so",
        },
    )
    log_every: int = setting("Steps between lines of the curve.", 20, low=1, high=1_000_000, unit="steps")

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        self.epi.check()
        check(self, "train.")
        if self.all_drop + self.all_keep > 1:
            raise UserError("train.all_drop and train.all_keep are shares of the clips: together at most 1")
        self.epi.groups = tuple(self.epi.groups)

    @property
    def recipe(self) -> Recipe:
        """The backbone's recipe with everything in it that is set here."""
        base = RECIPES.get(self.backbone, Recipe())
        values = {name: getattr(base, name) for name in Recipe.__dataclass_fields__}
        values |= {name: value for name, value in vars(self).items() if name in values and not is_open(value)}
        return Recipe(**values)

    @property
    def trains_encoder(self) -> bool:
        """Whether the image encoder learns."""
        return self.image_encoder == "train" or (self.image_encoder == "auto" and self.backbone in TRAINED_ENCODER)

    @property
    def learns(self) -> str:
        """Which weights learn, a word of LEARN."""
        return self.learn if self.learn != "auto" else "pocket-time" if self.backbone.startswith("pocket-") else "all"
