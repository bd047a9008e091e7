"""Settings of `motionkit train method=flipsketch`, under `train.`; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.settings.setting import check, is_open, setting

SCHEDULES = {"constant": "the same to the end", "cosine": "falling to 2 %"}
TIMESTEPS = {"uniform": "all equally often", "late": "more often where the picture is still noise"}


@dataclass(frozen=True)
class Recipe:
    """The default training settings for a backbone."""

    steps: int = 2500  # the paper's number
    lr: float = 1e-4  # the trainer that the authors credit uses 5e-6, with other initial variances of the factors
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

    A setting without a default takes the backbone's default recipe.
    """

    backbone: str = setting("The backbone to train on.", "pocket-modelscope")
    backbone_path: str | None = setting("Local folder or hub id of its weights; null uses the default.", None)
    rank: int = setting("Rank of the LoRA.", 4, low=1, high=256)
    alpha: float | None = setting(
        "LoRA alpha: a weight changes by alpha / rank * B A; null is the rank, a factor of 1.", None, low=1e-6, high=1e4
    )
    dropout: float = setting("Dropout of the LoRA's inputs.", 0.0, low=0, high=0.9)
    targets: str = setting(
        "Layers that get a LoRA: all (linear and convolutions), linear, attention, temporal, or a pattern of their "
        "names.",
        "all",
    )
    text_encoder: bool = setting("Whether the text encoder gets a LoRA too, as in the authors' file.", False)
    frames: int = setting(
        "Frames of a training clip; longer clips are cut at a random place.", 10, low=1, high=1000, unit="frames"
    )
    fps: float | None = setting(
        "Frame rate at which clips are read; null keeps each clip's own.", None, low=0.1, high=240, unit="frames/s"
    )
    batch: int = setting("Clips per batch.", low=1, high=4096)
    accumulate: int = setting("Batches per optimiser step (gradient accumulation).", 1, low=1, high=4096)
    lr: float = setting("Learning rate.", low=1e-9, high=1)
    schedule: str = setting("Learning-rate schedule.", choices=SCHEDULES)
    warmup: int = setting("Warm-up steps of the learning rate.", 20, low=0, high=1_000_000, unit="steps")
    weight_decay: float = setting("Weight decay.", 0.01, low=0, high=1)
    clip: float = setting("Maximum norm of the gradient.", 1.0, low=1e-6, high=1e6)
    ema: float = setting(
        "Decay of the averaged weights (EMA) that are written; 0 writes the last weights.", low=0, high=0.99999
    )
    caption_dropout: float = setting("Share of clips with an empty caption, for guidance.", 0.1, low=0, high=1)
    noise_share: float = setting(
        "Share of the noise's variance that all frames of a clip have in common.", low=0, high=1
    )
    noise_share_clips: float = setting("Share of the clips whose frames have noise in common.", low=0, high=1)
    timesteps: str = setting("How noise levels are drawn.", choices=TIMESTEPS)
    model_dropout: bool = setting("Whether the backbone's own dropout layers are active.", False)
    sprite_clips: int = setting("Number of rendered clips, with data=sprites.", 400, low=2, high=100_000)
    half: bool = setting("Whether the file is written in float16.", False)
    save_every: float = setting("Time between checkpoints.", 120.0, low=0, high=1e9, unit="s")
    log_every: int = setting("Steps between lines of the training curve.", 20, low=1, high=1_000_000, unit="steps")

    def __post_init__(self) -> None:
        """Check every value; raises UserError with one line."""
        check(self, "train.")

    @property
    def recipe(self) -> Recipe:
        """The backbone's default recipe with all values that are set here."""
        base = RECIPES.get(self.backbone, Recipe())
        values = {name: getattr(base, name) for name in Recipe.__dataclass_fields__}
        values |= {name: value for name, value in vars(self).items() if name in values and not is_open(value)}
        return Recipe(**values)

    @property
    def scale(self) -> float:
        """alpha / rank: the factor on B A."""
        return (self.rank if self.alpha is None else self.alpha) / self.rank
