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

# A setting left at None takes the preset's value; one that is set explicitly always wins.


@dataclass
class DrawConfig:
    """How skeletons become the network's pictures."""

    side: int | None = None  # longer side, pixels, at which lines of fixed thickness are drawn; 0: the working size
    faces: bool = False  # face points too; the released weights were trained without


@dataclass
class WindowConfig:
    """Clips of more than `size` frames are denoised in windows, averaged where they overlap."""

    size: int | None = None  # frames
    overlap: int | None = None


@dataclass
class SampleConfig:
    """From noise to frames."""

    steps: int | None = None  # every (1000 // steps)-th timestep, as the authors' sampler: 30 is 31, 600 is all 1000
    guidance: float | None = None
    offset: float | None = None  # strength of the noise that a frame's channel has in common
    prior: int | None = None  # 0: begin with noise | 1-999: with the reference, noised so far (UniAnimate: 949)
    batched: str = "auto"  # auto (on a GPU) | on | off: both passes of guidance in one call


# The authors' published inference. Their alignment was by hand, which is none here. Three things differ: frames are
# letterboxed (they stretch them), skeletons are drawn at the working size (they: at the video's own, where a large one
# gets thinner lines: draw.side), and a clip of more than `window.size` frames goes in windows (they: all at once).
_RELEASED: dict[str, Any] = {
    "reference_mode": "local",
    "align": "none",
    "draw.side": 0,
    "window.size": 32,
    "window.overlap": 4,
    "sample.steps": 30,
    "sample.guidance": 2.5,
    "sample.offset": 0.1,
    "sample.prior": 0,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "released": _RELEASED,
    # The reference as a latent on the time axis, poses fitted roughly to it (appendix A), 50 DDIM steps.
    "paper": _RELEASED | {"reference_mode": "latent", "align": "safe", "sample.steps": 50},
    "best": _RELEASED | {"align": "auto", "window.overlap": 8},
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

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "reference_mode": ("local", "latent", "both"),
    "align": ("auto", "none", "safe", "compat"),
    "nobody": ("refuse", "blank"),
    "sample.batched": ("auto", "on", "off"),
}
_RANGES: Mapping[str, tuple[float, float]] = {
    "draw.side": (0, 4096),
    "window.size": (2, 2000),
    "window.overlap": (0, 1999),
    "sample.steps": (1, 1000),
    "sample.guidance": (0, 50),
    "sample.offset": (0, 1),
    "sample.prior": (0, 999),
    "indicator_scale": (0, 10),
}


@dataclass
class AnimateXSettings(PresetSettings):
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = "animatex"
    preset: str = "best"  # best | released (the authors' inference) | paper
    reference_mode: str | None = None  # local (its pixels beside the noise) | latent (in slot 0) | both
    indicator: bool = True  # keypoints and image features reach the implicit pose indicator
    indicator_scale: float = 1.0  # how much of its motion attention counts: α of the paper's figure 13
    align: str | None = None  # auto (safe where the reference's joints are known) | none | safe | compat
    reference_pose: str = "auto"  # auto (estimated; else the driving's first pose) | strict | driving | a pose file
    nobody: str = "refuse"  # refuse | blank (no skeleton: image features alone) where nobody is found in the driving
    pose: PoseSettings = field(default_factory=PoseSettings)
    draw: DrawConfig = field(default_factory=DrawConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    presets = PRESETS
    tuned = TUNED
    choices = _CHOICES
    ranges = _RANGES

    def agree(self) -> None:
        """Refuse settings that cannot stand together; raises UserError with one line."""
        flat = settings(self)
        size, overlap = flat.get("window.size"), flat.get("window.overlap")
        if size is not None and overlap is not None and overlap >= size:
            raise UserError(f"method.window.overlap={overlap} must be smaller than method.window.size={size}")
        if self.reference_pose == "driving" and self.align in ("safe", "compat"):
            raise UserError(
                f"method.align={self.align} fits poses to the reference's own: it cannot be with "
                "method.reference_pose=driving"
            )
