"""Every setting of AnaMoDiff, its presets and the checks on them; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.settings.presets import PresetSettings, is_open
from motionkit.settings.setting import setting

# A setting without a default takes the preset's value; an explicit value always wins.


@dataclass
class AdaptConfig:
    """How the driving keypoints are adapted to the source (AnaMoDiff section 3.3; mode mean is ours)."""

    mode: str = setting(
        "Whether the driving clip's motion or its absolute poses are transferred.",
        choices={
            "relative": "move the source's keypoints as the driving clip's move",
            "absolute": "use the driving clip's keypoints unchanged",
        },
    )
    reference: str = setting(
        "The driving frame that relative motion starts from: first, auto (the best-matching pair of frames), "
        "mean (mean pose to mean pose), best (mean with 4 or more source frames, else auto), or a frame number."
    )
    scale: str = setting(
        "How the driving motion is scaled to the source's size.",
        choices={
            "hull": "by the ratio of the keypoints' convex hull areas",
            "box": "by the keypoints' boxes, width and height separately",
            "none": "not at all",
        },
    )
    jacobians: bool = setting("Whether the keypoints' local affine frames (rotation, stretch) are transferred too.")
    mirror: bool = setting("Whether the mirrored source is also tried when the best start pose is searched.")
    turned: bool = setting(
        "Whether keypoints are also looked for in turned views of each frame, where the networks learnt upright bodies."
    )
    smooth: int = setting(
        "Window of a filter that smooths keypoints over time, frames; 0 is off.", low=0, high=99, unit="frames"
    )
    cost_warning: float = setting(
        "The manifest warns when the start poses differ by more than this.", 1.0, low=0, high=float("inf")
    )


@dataclass
class WarpConfig:
    """How the flow is applied to clean latents and to the inverted noise."""

    space: str = setting(
        "What the flow warps.",
        choices={"latent": "the frame's latents", "pixel": "the frame itself, which is then encoded"},
    )
    noise: str = setting(
        "How noise is warped by the flow.",
        choices={
            "restore": "bilinear, plus fresh noise until the variance is 1",
            "nearest": "nearest neighbour, so values do not change",
            "renorm": "bilinear, scaled to unit variance; neighbours become correlated",
            "bilinear": "bilinear only, which lowers the variance",
        },
    )
    diversity: float = setting("Share of fresh noise mixed into the warped noise.", low=0, high=1)
    background: str = setting(
        "What happens to the source's background.",
        choices={"flow": "it moves with the flow", "still": "it stays where it is, if it is plain"},
    )


@dataclass
class LoraConfig:
    """Fine-tuning with disentangled denoising (AnaMoDiff section 3.3)."""

    steps: int = setting("Fine-tuning steps on this request; 0 skips it.", low=0, high=100_000)
    rank: int = setting("Rank of the LoRA.", low=1, high=1024)
    lr: float = setting("Learning rate of the LoRA.", low=0, high=1)
    temporal_lr: float = setting(
        "Factor on the learning rate for the temporal layers' out-projections.", low=0, high=10
    )
    targets: str = setting(
        "Attention layers that get a LoRA: a comma-separated list of attn1, attn2 and attn_temp.",
        "attn1,attn2,attn_temp",
    )
    clip_frames: int = setting("Frames of a training clip.", low=1, high=64, unit="frames")
    schedule: str = setting(
        "When the two losses are computed.",
        choices={"joint": "both in every step", "sequential": "the source's alone in the first half"},
    )
    source_low: int = setting("Lowest timestep of the loss on the source.", low=0, high=999)
    source_high: int = setting("Upper limit (exclusive) of the timesteps of the loss on the source.", low=1, high=1000)
    warped_low: int = setting("Lowest timestep of the loss on the warped clip.", low=0, high=999)
    warped_high: int = setting(
        "Upper limit (exclusive) of the timesteps of the loss on the warped clip.", low=1, high=1000
    )
    warped_window: str = setting(
        "The latent size that warped_low refers to.",
        choices={
            "stated": "the actual latents",
            "layout": "the paper's 64x64 latents; converted to the timestep at which the layout is equally noisy here",
        },
    )
    warped_weight: float = setting("Weight of the loss on the warped clip; 0 skips it.", low=0, high=100)
    warped_balance: str = setting(
        "Whether that weight is corrected for the model's kind of prediction.",
        choices={"none": "no", "prediction": "yes: errors of the clean latents weigh as with v-prediction"},
    )
    shared_noise: float = setting("Share of the steps in which the warped clip's noise moves with it.", low=0, high=1)
    max_grad: float = setting("Maximum norm of the gradient.", 1.0, low=0, high=1e6)
    save_every: int = setting(
        "Steps between checkpoints, from which a stopped run resumes.", 25, low=1, high=100_000, unit="steps"
    )


@dataclass
class VideoConfig:
    """The inflated UNet (Tune-A-Video, Wu et al. 2023); a video model keeps its own temporal layers."""

    joint_groupnorm: bool = setting(
        "Whether group norms in residual blocks compute statistics over all frames together."
    )
    temporal_init: str = setting(
        "How new temporal layers are initialised, on an image model.",
        choices={"attn1": "as a copy of the block's self-attention", "random": "with random weights"},
    )
    anchor: str = setting(
        "The frame that all others attend to.",
        choices={
            "first": "the first",
            "reference": "the output frame in which the source stands still",
            "source": "an extra, undistorted source frame",
            "auto": "reference if there is such a frame, else source",
        },
    )


@dataclass
class SampleConfig:
    """Sampling: from noise to frames."""

    steps: int = setting("Steps of the sampler.", low=1, high=1000)
    guidance: float = setting("Scale of classifier-free guidance; 1 is off.", low=0, high=50)
    rescale: float = setting(
        "Guidance rescale: how far the guided prediction keeps the original standard deviation; 0 is off.",
        low=0,
        high=1,
    )
    start: str = setting(
        "What denoising starts from.",
        choices={
            "inverted": "the source's DDIM-inverted noise, warped",
            "noised_warp": "the warped clip with noise added at start_t",
        },
    )
    start_t: int = setting("With start=noised_warp: the timestep at which denoising starts.", low=1, high=1000)
    inversion_prompt: str | None = setting("Prompt for inverting the source; null uses the request's prompt.", None)


@dataclass
class MatchConfig:
    """Colour correction of the output towards the source."""

    kind: str = setting(
        "How the output's colours are matched to the source's.",
        choices={
            "histogram": "histogram matching per channel",
            "reinhard": "mean and standard deviation (Reinhard et al. 2001)",
            "none": "not at all",
        },
    )
    strength: float = setting("Strength of the correction.", low=0, high=1)
    pooled: bool = setting("Whether all frames share one colour mapping, which avoids flicker.")
    masked: bool = setting("Whether subject and background are matched separately, if the background is plain.")


# What the paper states; where it says nothing, what the methods it names do.
_PAPER: dict[str, Any] = {
    "source_frame": "0",
    "adapt.mode": "relative",
    "adapt.reference": "first",
    "adapt.scale": "hull",
    "adapt.jacobians": True,
    "adapt.mirror": False,
    "adapt.turned": False,
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
    "lora.warped_window": "stated",
    "lora.warped_weight": 1.0,
    "lora.warped_balance": "none",
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
}
# The paper's pipeline with safer choices: mean-relative keypoints, led by an undistorted source frame where no
# frame stands still; noise that keeps its variance; D_w where the layout is as noisy as in the paper, and as heavy.
_BEST: dict[str, Any] = _PAPER | {
    "adapt.reference": "best",
    "warp.noise": "restore",
    "lora.warped_window": "layout",
    "lora.warped_balance": "prediction",
    "video.anchor": "auto",
}
# Measured on pocket-sd (benchmarks/README.md): mean-relative keypoints, the source frame nearest in pose, noise that
# keeps its variance, a late start from the warped clip, adapters for just the noise levels that it walks. That start
# never visits D_w's timesteps, so D_w is off; with sample.start=inverted set lora.warped_weight=1. 60 tuning
# steps are no better than 20 (13.81 and 13.79 dB on the subject, 3 pairs).
_POCKET: dict[str, Any] = {
    "source_frame": "nearest",
    "adapt.reference": "best",
    "adapt.turned": True,
    "warp.space": "pixel",
    "warp.noise": "restore",
    "warp.diversity": 0.0,
    "warp.background": "still",
    "lora.steps": 20,
    "lora.lr": 2e-3,
    "lora.clip_frames": 6,
    "lora.source_high": 300,
    "lora.warped_window": "stated",
    "lora.warped_weight": 0.0,
    "lora.warped_balance": "none",
    "lora.shared_noise": 0.5,
    "video.joint_groupnorm": False,
    "video.temporal_init": "attn1",
    "video.anchor": "auto",
    "sample.steps": 20,
    "sample.guidance": 1.0,
    "sample.rescale": 0.7,
    "sample.start": "noised_warp",
    "sample.start_t": 150,
    "match.pooled": True,
    "match.masked": True,
}
_SMALL = (
    *("tiny-sd", "tiny-sdxl", "tiny-animatediff-sd15", "tiny-animatediff-sdxl", "tiny-modelscope"),
    *("pocket-sd", "pocket-animatediff", "pocket-modelscope"),
)
TUNED: Mapping[str, Mapping[str, Any]] = dict.fromkeys(_SMALL, _POCKET)
PRESETS: Mapping[str, Mapping[str, Any]] = {"paper": _PAPER, "best": _BEST}

LORA_TARGETS = ("attn1", "attn2", "attn_temp")


@dataclass
class AnaMoDiffConfig(PresetSettings):
    """Settings under `method.`; a missing value comes from the preset."""

    name: str = setting("The method's name.", "anamodiff")
    preset: str = setting(
        "The set of defaults for all settings that are not given.",
        "best",
        choices={
            "paper": "what the paper states",
            "best": "the paper's with safer keypoints and noise, and measured improvements on the pocket backbones",
        },
    )
    weights: str = setting(
        "Networks for keypoints and flow: auto (chosen by the backbone), pocket, random, or a folder or hub id "
        "with keypoints.safetensors and lofnet.safetensors.",
        "auto",
        file="folder",
    )
    source_frame: str = setting(
        "The source frame to warp: a number from 0, auto (the closest to all poses), or nearest (for "
        "each output frame the one nearest in pose)."
    )
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    match: MatchConfig = field(default_factory=MatchConfig)

    presets = PRESETS
    tuned = TUNED

    def agree(self) -> None:
        """Refuse settings that contradict each other; raises UserError with one line."""
        self._agree_on_frames()
        for name in ("source", "warped"):
            low, high = getattr(self.lora, f"{name}_low"), getattr(self.lora, f"{name}_high")
            if not is_open(low) and not is_open(high) and low >= high:
                raise UserError(f"method.lora.{name}_low={low} must be below method.lora.{name}_high={high}")
        targets = [t.strip() for t in self.lora.targets.split(",")]
        if not all(t in LORA_TARGETS for t in targets):
            raise UserError(
                f"method.lora.targets={self.lora.targets}: give a comma-separated list of {', '.join(LORA_TARGETS)}"
            )

    def _agree_on_frames(self) -> None:
        """Which frames are named: some wait for the backbone."""
        source, reference, anchor = self.source_frame, self.adapt.reference, self.video.anchor
        if not is_open(source) and source not in ("auto", "nearest") and not source.isdigit():
            raise UserError(f"method.source_frame={source}: give a frame number, auto or nearest")
        if not is_open(reference) and reference not in ("first", "auto", "mean", "best") and not reference.isdigit():
            raise UserError(f"method.adapt.reference={reference}: give first, auto, mean, best or a frame number")
        stands = is_open(reference) or reference in ("first", "auto") or reference.isdigit()
        anchored = stands and self.adapt.mode != "absolute" and source != "nearest"
        if anchor == "reference" and not anchored:
            raise UserError(
                "method.video.anchor=reference needs adapt.reference=first, auto or N, and one source frame"
            )
