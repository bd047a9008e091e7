"""Every setting of Animate-X, its presets and the checks on them; imports no torch.

Where the paper and the authors' published code differ, each way is a setting. Whether the layers along time are a
temporal transformer or Mamba is the backbone's own (`temporal` in its config.json).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.settings.presets import PresetSettings, settings
from motionkit.settings.setting import setting

# A setting without a default takes the preset's value; one that is set explicitly always wins.


@dataclass
class DrawConfig:
    """How skeletons become the network's pictures."""

    side: int = setting(
        "Longer side at which skeletons are drawn, with lines of fixed thickness; 0 is the working size, -1 the "
        "driving clip's own.",
        low=-1,
        high=4096,
        unit="px",
    )
    faces: bool = setting("Whether face points are drawn too; the released weights were trained without.", False)


@dataclass
class WindowConfig:
    """Clips of more than `size` frames are denoised in windows, averaged where they overlap."""

    size: int = setting("Frames of a window; a longer clip is denoised in several.", low=2, high=2000, unit="frames")
    overlap: int = setting("Frames that neighbouring windows share.", low=0, high=1999, unit="frames")


@dataclass
class SampleConfig:
    """From noise to frames."""

    steps: int = setting(
        "Every (1000 // steps)-th timestep is taken, as by the authors' sampler: 30 gives 31, 600 gives all 1000.",
        low=1,
        high=1000,
    )
    guidance: float = setting("Scale of classifier-free guidance; 1 is none.", low=0, high=50)
    guidance_interval: list[float] = setting(
        "The part of the noise schedule in which guidance counts, from its clean end 0 to pure noise 1; a step outside "
        "takes half the time.",
        factory=lambda: [0.0, 1.0],
        later=True,
    )
    offset: float = setting("Strength of the noise that all places of a frame's channel share.", low=0, high=1)
    prior: int = setting(
        "What denoising starts from: 0 is noise, 1 to 999 the reference noised that far (UniAnimate: 949).",
        low=0,
        high=999,
    )
    batched: str = setting(
        "Whether both passes of guidance go through the network in one call.",
        "auto",
        choices={"auto": "on a GPU", "on": "always: faster, more memory", "off": "never"},
    )


# The authors' published inference, but for what DIFFERS says. Their alignment was by hand, which is none here.
_RELEASED: dict[str, Any] = {
    "reference_mode": "local",
    "align": "none",
    "draw.side": -1,
    "window.size": 2000,
    "window.overlap": 4,
    "sample.steps": 30,
    "sample.guidance": 2.5,
    "sample.offset": 0.1,
    "sample.prior": 0,
}
DIFFERS = (  # from the authors' inference, under the preset `released`
    "frames are fitted to the working size with bars where theirs are stretched",
    "the result plays as fast as the driving clip where theirs plays at 8 frames a second",
    "pictures pass no JPEG file on their way where theirs do",
)
_WORKING: dict[str, Any] = {"draw.side": 0, "window.size": 32}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "released": _RELEASED,
    # The reference as a latent on the time axis, poses fitted roughly to it (appendix A), 50 DDIM steps.
    "paper": _RELEASED | _WORKING | {"reference_mode": "latent", "align": "safe", "sample.steps": 50},
    "best": _RELEASED | _WORKING | {"reference_mode": "auto", "align": "auto", "window.overlap": 8},
}
# What `best` changes on a backbone: how pocket-animatex was trained (see train_config.RECIPES).
_POCKET: Mapping[str, Any] = {
    "reference_mode": "both",
    "draw.side": 256,
    "window.size": 10,
    "window.overlap": 4,
    "sample.steps": 10,
    "sample.guidance": 1.5,
    "sample.prior": 900,
}
TUNED: Mapping[str, Mapping[str, Any]] = {"pocket-animatex": _POCKET, "pocket-animatex-mamba": _POCKET}


@dataclass
class AnimateXSettings(PresetSettings):
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = setting("The method's name.", "animatex")
    preset: str = setting(
        "Which table fills in what is not given.",
        "best",
        choices={
            "released": "the authors' published inference",
            "paper": "what the paper states",
            "best": "the released inference with poses aligned, and the pocket backbones' own values",
        },
    )
    reference_mode: str = setting(
        "How the reference enters the network.",
        choices={
            "auto": "as the network was trained, where its folder says so; else local",
            "local": "its pixels beside the noise",
            "latent": "as a latent before the first frame",
            "both": "both ways",
        },
    )
    indicator: bool = setting("Whether keypoints and image features reach the implicit pose indicator.", True)
    indicator_scale: float = setting(
        "How much the indicator's motion attention counts: alpha of the paper's figure 13.", 1.0, low=0, high=10
    )
    align: str = setting(
        "How the driving's poses are fitted to the reference's body.",
        choices={
            "auto": "safe where the reference's joints are known, else none",
            "none": "not at all",
            "safe": "bone by bone, with what joints both show",
            "compat": "as UniAnimate's tool, which needs whole frontal bodies",
        },
    )
    reference_pose: str = setting(
        "The reference's pose: auto (estimated, else the driving's first), strict (estimated, or refused), driving "
        "(the driving's first), or a pose file.",
        "auto",
    )
    nobody: str = setting(
        "What happens where nobody is found in the driving clip.",
        "refuse",
        choices={"refuse": "the run stops with a line", "blank": "no skeleton: image features alone"},
    )
    pose: PoseSettings = field(default_factory=PoseSettings)
    draw: DrawConfig = field(default_factory=DrawConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    presets = PRESETS
    tuned = TUNED

    def agree(self) -> None:
        """Refuse settings that cannot stand together; raises UserError with one line."""
        flat = settings(self)
        size, overlap = flat.get("window.size"), flat.get("window.overlap")
        if size is not None and overlap is not None and overlap >= size:
            raise UserError(f"method.window.overlap={overlap} must be smaller than method.window.size={size}")
        guided = self.sample.guidance_interval
        if len(guided) != 2 or not 0 <= guided[0] <= guided[1] <= 1:
            raise UserError(
                f"method.sample.guidance_interval={guided}: give its two ends between 0 and 1, the lower one first, "
                "such as [0.1,0.7]"
            )
        if self.reference_pose == "driving" and self.align in ("safe", "compat"):
            raise UserError(
                f"method.align={self.align} fits poses to the reference's own: it cannot be with "
                "method.reference_pose=driving"
            )
