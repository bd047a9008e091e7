"""Every setting of AnaMoDiff, its presets and the checks on them; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.settings.presets import PresetSettings, settings

# A setting left at None takes the preset's value; one that is set explicitly always wins.


@dataclass
class AdaptConfig:
    """How the driving keypoints are put onto the source (AnaMoDiff section 3.3; mean mode is ours)."""

    mode: str | None = None  # relative | absolute
    reference: str | None = None  # first | auto | mean | best (mean from 4 source frames on, else auto) | frame number
    scale: str | None = None  # hull | box (width and height apart) | none
    jacobians: bool | None = None  # carry the local affine frames too
    mirror: bool | None = None  # in auto: also try the mirrored source
    smooth: int | None = None  # window in frames of a smoothing filter over time, 0 for none
    cost_warning: float = 1.0  # note a poor start-pose match above this cost


@dataclass
class WarpConfig:
    """How the flow is applied to clean latents and to the inverted noise."""

    space: str | None = None  # latent | pixel (warp the frame, then encode)
    noise: str | None = None  # restore | nearest | renorm | bilinear
    diversity: float | None = None  # fresh noise mixed into the warped noise, 0 to 1
    background: str | None = None  # flow | still (the plain background stays where it is)


@dataclass
class LoraConfig:
    """Fine-tuning with disentangled denoising (AnaMoDiff section 3.3)."""

    steps: int | None = None
    rank: int | None = None
    lr: float | None = None
    temporal_lr: float | None = None  # factor on lr for the temporal out-projections
    targets: str = "attn1,attn2,attn_temp"
    clip_frames: int | None = None  # frames of a training clip
    schedule: str | None = None  # joint | sequential (source only in the first half)
    source_low: int | None = None  # timesteps of the source loss, low <= t < high
    source_high: int | None = None
    warped_low: int | None = None  # timesteps of the loss on the warped clip
    warped_high: int | None = None
    warped_weight: float | None = None  # 0 leaves the warped clip out
    shared_noise: float | None = None  # chance that the warped clip gets noise that moves with it
    max_grad: float = 1.0
    save_every: int = 25


@dataclass
class VideoConfig:
    """The inflated UNet (Tune-A-Video, Wu et al. 2023); on a video model its own layers along time stay."""

    joint_groupnorm: bool | None = None  # ResNet statistics over all frames
    temporal_init: str | None = None  # attn1 (start from the block's self-attention) | random; not on a video model
    anchor: str | None = None  # first | reference | source (an extra undistorted source frame) | auto


@dataclass
class SampleConfig:
    """From noise to frames."""

    steps: int | None = None
    guidance: float | None = None
    rescale: float | None = None  # guidance rescale, 0 to 1
    start: str | None = None  # inverted (warped DDIM inverse) | noised_warp (the warped clip noised to start_t)
    start_t: int | None = None  # for noised_warp
    inversion_prompt: str | None = None  # the prompt when not set


@dataclass
class MatchConfig:
    """Colour correction of the output towards the source."""

    kind: str | None = None  # histogram | reinhard | none
    strength: float | None = None  # 0 to 1
    pooled: bool | None = None  # one mapping for all frames, which cannot flicker
    masked: bool | None = None  # judge the subject only where the background is plain


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # What the paper states; where it is silent, the reading of its named parts.
    "paper": {
        "source_frame": "0",
        "adapt.mode": "relative",
        "adapt.reference": "first",
        "adapt.scale": "hull",
        "adapt.jacobians": True,
        "adapt.mirror": False,
        "adapt.smooth": 0,
        "warp.space": "latent",
        "warp.noise": "bilinear",
        "warp.diversity": 0.1,
        "warp.background": "flow",
        "lora.steps": 250,
        "lora.rank": 16,
        "lora.lr": 5e-4,
        "lora.temporal_lr": 0.1,
        "lora.clip_frames": 10,
        "lora.schedule": "joint",
        "lora.source_low": 0,
        "lora.source_high": 1000,
        "lora.warped_low": 850,
        "lora.warped_high": 1000,
        "lora.warped_weight": 1.0,
        "lora.shared_noise": 0.0,
        "video.joint_groupnorm": True,
        "video.temporal_init": "random",
        "video.anchor": "first",
        "sample.steps": 50,
        "sample.guidance": 7.5,
        "sample.rescale": 0.0,
        "sample.start": "inverted",
        "sample.start_t": 1000,
        "match.kind": "histogram",
        "match.strength": 1.0,
        "match.pooled": False,
        "match.masked": False,
    },
    # Measured on pocket-sd (benchmarks/README.md): mean-relative keypoints, the source frame nearest in pose, noise
    # that keeps its variance, a late start from the warped clip, adapters for just the noise levels that it walks.
    # That start never visits D_w's timesteps, so D_w is off; with sample.start=inverted set lora.warped_weight=1.
    "best": {
        "source_frame": "nearest",
        "adapt.mode": "relative",
        "adapt.reference": "best",
        "adapt.scale": "hull",
        "adapt.jacobians": True,
        "adapt.mirror": False,
        "adapt.smooth": 0,
        "warp.space": "pixel",
        "warp.noise": "restore",
        "warp.diversity": 0.0,
        "warp.background": "still",
        "lora.steps": 60,
        "lora.rank": 16,
        "lora.lr": 2e-3,
        "lora.temporal_lr": 0.1,
        "lora.clip_frames": 6,
        "lora.schedule": "joint",
        "lora.source_low": 0,
        "lora.source_high": 300,
        "lora.warped_low": 850,
        "lora.warped_high": 1000,
        "lora.warped_weight": 0.0,
        "lora.shared_noise": 0.5,
        "video.joint_groupnorm": False,
        "video.temporal_init": "attn1",
        "video.anchor": "auto",
        "sample.steps": 20,
        "sample.guidance": 1.0,
        "sample.rescale": 0.7,
        "sample.start": "noised_warp",
        "sample.start_t": 150,
        "match.kind": "histogram",
        "match.strength": 1.0,
        "match.pooled": True,
        "match.masked": True,
    },
}

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "adapt.mode": ("relative", "absolute"),
    "adapt.scale": ("hull", "box", "none"),
    "warp.space": ("latent", "pixel"),
    "warp.noise": ("restore", "nearest", "renorm", "bilinear"),
    "warp.background": ("flow", "still"),
    "lora.schedule": ("joint", "sequential"),
    "video.temporal_init": ("attn1", "random"),
    "video.anchor": ("first", "reference", "source", "auto"),
    "sample.start": ("inverted", "noised_warp"),
    "match.kind": ("histogram", "reinhard", "none"),
}

_RANGES: Mapping[str, tuple[float, float]] = {
    "adapt.smooth": (0, 99),
    "adapt.cost_warning": (0, float("inf")),
    "warp.diversity": (0, 1),
    "lora.steps": (0, 100_000),
    "lora.rank": (1, 1024),
    "lora.lr": (0, 1),
    "lora.temporal_lr": (0, 10),
    "lora.clip_frames": (1, 64),
    "lora.source_low": (0, 999),
    "lora.source_high": (1, 1000),
    "lora.warped_low": (0, 999),
    "lora.warped_high": (1, 1000),
    "lora.warped_weight": (0, 100),
    "lora.shared_noise": (0, 1),
    "lora.max_grad": (0, 1e6),
    "lora.save_every": (1, 100_000),
    "sample.steps": (1, 1000),
    "sample.guidance": (0, 50),
    "sample.rescale": (0, 1),
    "sample.start_t": (1, 1000),
    "match.strength": (0, 1),
}

LORA_TARGETS = ("attn1", "attn2", "attn_temp")
INFLATED = ("sd",)  # families whose UNet gets new layers along time; a video model keeps its own


@dataclass
class AnaMoDiffConfig(PresetSettings):
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = "anamodiff"
    preset: str = "best"  # best | paper
    weights: str = "auto"  # auto (by backbone) | pocket | random | a folder with keypoints and lofnet .safetensors
    source_frame: str | None = None  # source frame to warp: a number | auto | nearest (in pose, for each output frame)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    match: MatchConfig = field(default_factory=MatchConfig)

    presets = PRESETS
    choices = _CHOICES
    ranges = _RANGES

    def agree(self) -> None:
        """Refuse settings that cannot stand together; raises UserError with one line."""
        flat = settings(self)
        if self.source_frame not in ("auto", "nearest") and not str(self.source_frame).isdigit():
            raise UserError(f"method.source_frame={self.source_frame}: give a frame number, auto or nearest")
        reference = str(self.adapt.reference)
        anchored = self.adapt.mode == "relative" and (reference in ("first", "auto") or reference.isdigit())
        if self.video.anchor == "reference" and not (anchored and self.source_frame != "nearest"):
            raise UserError(
                "method.video.anchor=reference needs adapt.reference=first, auto or N, and one source frame"
            )
        if reference not in ("first", "auto", "mean", "best") and not reference.isdigit():
            raise UserError(f"method.adapt.reference={reference}: give first, auto, mean, best or a frame number")
        for name in ("source", "warped"):
            low, high = flat[f"lora.{name}_low"], flat[f"lora.{name}_high"]
            if low >= high:
                raise UserError(f"method.lora.{name}_low={low} must be below method.lora.{name}_high={high}")
        targets = [t.strip() for t in self.lora.targets.split(",")]
        if not all(t in LORA_TARGETS for t in targets):
            raise UserError(f"method.lora.targets={self.lora.targets}: give a list of {', '.join(LORA_TARGETS)}")
