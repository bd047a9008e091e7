"""Every setting of Animate-X, its presets and the checks on them; imports no torch.

Where the paper and the authors' published code differ, a setting chooses. Whether the temporal layers are a transformer
or Mamba depends on the backbone (`temporal` in its config.json).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.settings.presets import PresetSettings, settings
from motionkit.settings.setting import setting

# A setting without a default takes the preset's value; an explicit value always wins.


@dataclass
class DrawConfig:
    """How skeletons are drawn as the network's pose pictures."""

    side: int = setting(
        "Longer side at which skeletons are drawn, with lines of fixed width; 0 is the working size, -1 the "
        "driving clip's own size.",
        low=-1,
        high=4096,
        unit="px",
    )
    faces: bool = setting("Whether face points are drawn too; the released weights were trained without them.", False)


@dataclass
class WindowConfig:
    """Clips of more than `size` frames are denoised in windows, averaged where they overlap."""

    size: int = setting(
        "Frames per window; a longer clip is denoised in several windows.", low=2, high=2000, unit="frames"
    )
    overlap: int = setting("Frames that neighbouring windows share.", low=0, high=1999, unit="frames")


@dataclass
class SampleConfig:
    """Sampling: from noise to frames."""

    steps: int = setting(
        "Sampler steps; every (1000 // steps)-th timestep is used, as by the authors: 30 gives 31, 600 all 1000.",
        low=1,
        high=1000,
    )
    guidance: float = setting("Scale of classifier-free guidance; 1 is off.", low=0, high=50)
    guidance_interval: list[float] = setting(
        "Part of the noise schedule in which guidance is used, from its clean end 0 to pure noise 1; a step outside "
        "takes half the time.",
        factory=lambda: [0.0, 1.0],
        later=True,
    )
    offset: float = setting(
        "Strength of the noise offset that all positions of a frame's channel have in common.", low=0, high=1
    )
    noise_share: float = setting(
        "Share of the noise's variance that all frames have in common: frames flicker less; 0 as published.",
        low=0,
        high=1,
    )
    prior: int = setting(
        "Start of denoising: 0 is pure noise, 1 to 999 the reference noised to that timestep (UniAnimate: 949).",
        low=0,
        high=999,
    )
    batched: str = setting(
        "Whether both passes of guidance run through the network as one batch.",
        "auto",
        choices={"auto": "on a GPU", "on": "always: faster, more memory", "off": "never"},
    )


# The authors' published inference, except for DIFFERS. They aligned poses by hand, so there is no alignment here.
_RELEASED: dict[str, Any] = {
    "reference_mode": "local",
    "align": "none",
    "draw.side": -1,
    "window.size": 2000,
    "window.overlap": 4,
    "sample.steps": 30,
    "sample.guidance": 2.5,
    "sample.offset": 0.1,
    "sample.noise_share": 0.0,
    "sample.prior": 0,
}
DIFFERS = (  # from the authors' inference, under the preset `released`
    "frames are letterboxed to the working size, while theirs are stretched",
    "the result keeps the driving clip's frame rate, while theirs plays at 8 fps",
    "pictures are not compressed as JPEG in between, while theirs are",
)
_WORKING: dict[str, Any] = {"draw.side": 0, "window.size": 32}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "released": _RELEASED,
    # The reference as a latent on the time axis, poses aligned roughly to it (appendix A), 50 DDIM steps.
    "paper": _RELEASED | _WORKING | {"reference_mode": "latent", "align": "safe", "sample.steps": 50},
    "best": _RELEASED | _WORKING | {"reference_mode": "auto", "align": "auto", "window.overlap": 8},
}
# What `best` changes on a backbone: how pocket-animatex was trained (see train_config.RECIPES), and what was measured
# (benchmarks/pocket/set/README.md): guidance makes red glaring and helps nothing; without common noise frames flicker.
_POCKET: Mapping[str, Any] = {
    "reference_mode": "both",
    "draw.side": 256,
    "window.size": 10,
    "window.overlap": 4,
    "sample.steps": 10,
    "sample.guidance": 1.0,
    "sample.offset": 0.0,
    "sample.noise_share": 1.0,
    "sample.prior": 900,
}
TUNED: Mapping[str, Mapping[str, Any]] = {"pocket-animatex": _POCKET, "pocket-animatex-mamba": _POCKET}


@dataclass
class AnimateXSettings(PresetSettings):
    """Settings under `method.`; a missing value comes from the preset."""

    name: str = setting("The method's name.", "animatex")
    preset: str = setting(
        "The set of defaults for all settings that are not given.",
        "best",
        choices={
            "released": "the authors' published inference",
            "paper": "what the paper states",
            "best": "the released inference with aligned poses, and tuned values for the pocket backbones",
        },
    )
    reference_mode: str = setting(
        "How the reference enters the network.",
        choices={
            "auto": "as the network was trained, if its folder says so; else local",
            "local": "as pixels, concatenated with the noise",
            "latent": "as a latent before the first frame",
            "both": "both ways",
        },
    )
    indicator: bool = setting("Whether the implicit pose indicator gets keypoints and image features.", True)
    indicator_scale: float = setting(
        "Weight of the indicator's motion attention: alpha of the paper's figure 13.", 1.0, low=0, high=10
    )
    align: str = setting(
        "How the driving poses are aligned to the reference's body.",
        choices={
            "auto": "safe if the reference's joints are known, else none",
            "none": "not at all",
            "safe": "bone by bone, from the joints that both show",
            "compat": "as in UniAnimate's tool, which needs complete frontal bodies",
        },
    )
    reference_pose: str = setting(
        "The reference's pose: auto (estimated, else the driving's first), strict (estimated, else an error), driving "
        "(the driving's first), or a pose file.",
        "auto",
        file="read",
    )
    nobody: str = setting(
        "What happens if no body is found in the driving clip.",
        "refuse",
        choices={"refuse": "the run stops with an error", "blank": "no skeleton: image features alone"},
    )
    pose: PoseSettings = field(default_factory=PoseSettings)
    draw: DrawConfig = field(default_factory=DrawConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    presets = PRESETS
    tuned = TUNED

    def agree(self) -> None:
        """Refuse settings that contradict each other; raises UserError with one line."""
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
                f"method.align={self.align} needs the reference's own pose: it cannot be combined with "
                "method.reference_pose=driving"
            )
