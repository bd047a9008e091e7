"""Every setting of AnaMoDiff, its presets and the checks on them; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.settings.presets import PresetSettings, is_open
from motionkit.settings.setting import setting

# A setting without a default takes the preset's value; one that is set explicitly always wins.


@dataclass
class AdaptConfig:
    """How the driving keypoints are put onto the source (AnaMoDiff section 3.3; mean mode is ours)."""

    mode: str = setting(
        "Whether the driving's poses or only their changes are taken over.",
        choices={
            "relative": "the source's keypoints move as the driving's do",
            "absolute": "the driving's keypoints as they are",
        },
    )
    reference: str = setting(
        "The driving frame from which relative motion is counted: first, auto (the pair of frames that fit best), "
        "mean (mean pose to mean pose), best (mean from 4 source frames on, else auto), or a frame number."
    )
    scale: str = setting(
        "How the driving's motion is scaled to the source's size.",
        choices={
            "hull": "by the areas of the keypoints' convex hulls",
            "box": "by their boxes, width and height apart",
            "none": "not at all",
        },
    )
    jacobians: bool = setting("Whether the local affine frames of the keypoints are carried over too.")
    mirror: bool = setting("Whether the mirrored source is tried as well when the best start is looked for.")
    smooth: int = setting(
        "Window of a smoothing filter on the keypoints over time; 0 is none.", low=0, high=99, unit="frames"
    )
    cost_warning: float = setting(
        "The manifest notes a start pose that fits the driving's worse than this.", 1.0, low=0, high=float("inf")
    )


@dataclass
class WarpConfig:
    """How the flow is applied to clean latents and to the inverted noise."""

    space: str = setting(
        "What is warped along the flow.",
        choices={"latent": "the frame's latents", "pixel": "the frame itself, which is then encoded"},
    )
    noise: str = setting(
        "How noise is moved along the flow.",
        choices={
            "restore": "bilinear, with fresh noise added until the variance is 1",
            "nearest": "from the nearest place, so that values stay as they are",
            "renorm": "bilinear, scaled to unit variance; neighbours stay as alike as they come out",
            "bilinear": "bilinear alone, which lowers the variance",
        },
    )
    diversity: float = setting("Share of fresh noise that is mixed into the warped noise.", low=0, high=1)
    background: str = setting(
        "What happens to the source's background.",
        choices={"flow": "it moves with the flow", "still": "it stays where it is, if it is plain"},
    )


@dataclass
class LoraConfig:
    """Fine-tuning with disentangled denoising (AnaMoDiff section 3.3)."""

    steps: int = setting("Steps of fine-tuning on this request; 0 leaves it out.", low=0, high=100_000)
    rank: int = setting("Rank of the LoRA.", low=1, high=1024)
    lr: float = setting("Learning rate of the LoRA.", low=0, high=1)
    temporal_lr: float = setting(
        "Factor on the learning rate for the temporal layers' out-projections.", low=0, high=10
    )
    targets: str = setting(
        "Attention layers that get a LoRA, of attn1, attn2 and attn_temp, with commas.", "attn1,attn2,attn_temp"
    )
    clip_frames: int = setting("Frames of a training clip.", low=1, high=64, unit="frames")
    schedule: str = setting(
        "When the two losses are taken.",
        choices={"joint": "both in every step", "sequential": "the source's alone in the first half"},
    )
    source_low: int = setting("Lowest timestep of the loss on the source.", low=0, high=999)
    source_high: int = setting("The timesteps of the loss on the source end below this one.", low=1, high=1000)
    warped_low: int = setting("Lowest timestep of the loss on the warped clip.", low=0, high=999)
    warped_high: int = setting("The timesteps of the loss on the warped clip end below this one.", low=1, high=1000)
    warped_window: str = setting(
        "For which size warped_low is meant.",
        choices={
            "stated": "for the latents as they are",
            "layout": "for the paper's 64x64 latents: it moves to where the layout is as noisy in these",
        },
    )
    warped_weight: float = setting("Weight of the loss on the warped clip; 0 leaves it out.", low=0, high=100)
    warped_balance: str = setting(
        "Whether that weight makes up for what the model predicts.",
        choices={"none": "no", "prediction": "yes: an error of the clean latents weighs as with v-prediction"},
    )
    shared_noise: float = setting("How often the warped clip gets noise that moves with it.", low=0, high=1)
    max_grad: float = setting("The gradient's norm is cut to this.", 1.0, low=0, high=1e6)
    save_every: int = setting(
        "Steps between checkpoints, from which a stopped run goes on.", 25, low=1, high=100_000, unit="steps"
    )


@dataclass
class VideoConfig:
    """The inflated UNet (Tune-A-Video, Wu et al. 2023); on a video model its own layers along time stay."""

    joint_groupnorm: bool = setting(
        "Whether group norms in the residual blocks take their statistics over all frames together."
    )
    temporal_init: str = setting(
        "How the new layers along time begin, on an image model.",
        choices={"attn1": "as the block's self-attention", "random": "with random weights"},
    )
    anchor: str = setting(
        "The frame that all others look at.",
        choices={
            "first": "the first",
            "reference": "the one at which source and driving meet",
            "source": "an extra, undistorted source frame",
            "auto": "reference where there is such a frame, else source",
        },
    )


@dataclass
class SampleConfig:
    """From noise to frames."""

    steps: int = setting("Steps of the sampler.", low=1, high=1000)
    guidance: float = setting("Scale of classifier-free guidance; 1 is none.", low=0, high=50)
    rescale: float = setting("How far guidance keeps the prediction's own spread (rescaled guidance).", low=0, high=1)
    start: str = setting(
        "What denoising starts from.",
        choices={
            "inverted": "the source's DDIM inverse, warped",
            "noised_warp": "the warped clip with noise of start_t",
        },
    )
    start_t: int = setting("For noised_warp: the timestep at which denoising starts.", low=1, high=1000)
    inversion_prompt: str | None = setting("The prompt while the source is inverted; null is the request's.", None)


@dataclass
class MatchConfig:
    """Colour correction of the output towards the source."""

    kind: str = setting(
        "How colours are brought back to the source's.",
        choices={
            "histogram": "by their histograms, channel by channel",
            "reinhard": "by mean and spread (Reinhard et al. 2001)",
            "none": "not at all",
        },
    )
    strength: float = setting("How much of the correction is applied.", low=0, high=1)
    pooled: bool = setting("Whether all frames share one mapping, which cannot flicker.")
    masked: bool = setting("Whether subject and background are matched apart, where the background is plain.")


# What the paper states; where it is silent, the reading of its named parts.
_PAPER: dict[str, Any] = {
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
# The paper's pipeline and what is safe beside it: mean-relative keypoints, led by an undistorted source frame where no
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
# never visits D_w's timesteps, so D_w is off; with sample.start=inverted set lora.warped_weight=1.
_POCKET: dict[str, Any] = {
    "source_frame": "nearest",
    "adapt.reference": "best",
    "warp.space": "pixel",
    "warp.noise": "restore",
    "warp.diversity": 0.0,
    "warp.background": "still",
    "lora.steps": 60,
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
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = setting("The method's name.", "anamodiff")
    preset: str = setting(
        "Which table fills in what is not given.",
        "best",
        choices={
            "paper": "what the paper states",
            "best": "the same with safer keypoints and noise; what was measured to be better on the small backbones",
        },
    )
    weights: str = setting(
        "Networks for keypoints and flow: auto (by the backbone), pocket, random, or a folder with "
        "keypoints.safetensors and lofnet.safetensors.",
        "auto",
    )
    source_frame: str = setting(
        "The source frame that is warped: a number from 0, auto (the one that fits all poses best), or nearest (for "
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
        """Refuse settings that cannot stand together; raises UserError with one line."""
        self._agree_on_frames()
        for name in ("source", "warped"):
            low, high = getattr(self.lora, f"{name}_low"), getattr(self.lora, f"{name}_high")
            if not is_open(low) and not is_open(high) and low >= high:
                raise UserError(f"method.lora.{name}_low={low} must be below method.lora.{name}_high={high}")
        targets = [t.strip() for t in self.lora.targets.split(",")]
        if not all(t in LORA_TARGETS for t in targets):
            raise UserError(f"method.lora.targets={self.lora.targets}: give a list of {', '.join(LORA_TARGETS)}")

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
