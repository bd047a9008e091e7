"""Every setting of VIDMP3, its presets and the checks on them; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.perception.correspondence import CorrespondenceSettings
from motionkit.perception.depth import DepthSettings
from motionkit.perception.masks import MaskSettings
from motionkit.settings.presets import PresetSettings

from .options import BLOCKS, HEADS, INPUTS, SITES, TEMPORAL

# A setting left at None takes the preset's value; one that is set explicitly always wins.


@dataclass
class MapsConfig:
    """Correspondence, depth and masks as the guide sees them (VIDMP3 section 3.1)."""

    colours: str = "polar"  # polar (the paper's wheel) | uv1
    long_side: int | None = None  # pixels
    steady: bool = False  # take the depth's flicker out by the background; for a camera that stands still


@dataclass
class GuideConfig:
    """MotionGuide, and how it enters the attention over time (VIDMP3 sections 3.1 and 3.2)."""

    inputs: str = "product"  # product (C x D) | concat | correspondence | depth | off (tuning alone)
    strength: float | None = None  # lambda; left out: 0.1 for large motion, 0.05 for small
    edit_strength: float | None = None  # factor on lambda while editing
    centre: bool | None = None  # subtract phi's mean over time
    heads: str = "per_width"  # per_width | per_site | shared
    sites: str = "all"  # all | attn1 | attn2 of each motion module
    blocks: str = "all"  # all | down | mid | up


@dataclass
class TuneConfig:
    """Tuning on the source video (VIDMP3 section 3.2)."""

    steps: int | None = None
    lr: float | None = None  # of MotionGuide
    unet_lr: float | None = None  # of the UNet's weights
    least_t: float | None = None  # share of all noise levels, from the lowest, that are left out
    loss: str = "all"  # all | subject (its pixels alone)
    temporal: str = "auto"  # values | projections | auto (by the UNet)
    ends: bool = False  # also the motion modules' proj_in and proj_out
    rank: int = 0  # above 0: a LoRA of this rank on the same layers, for small packs
    max_grad: float = 1.0
    save_every: int = 25
    checkpointing: str = "auto"  # auto (as the gpu plan says) | on | off: less memory, more time


@dataclass
class SampleConfig:
    """Denoising with the edited prompt; its number of steps is `steps`."""

    guidance: float | None = None
    rescale: float | None = None  # guidance rescale, 0 to 1
    negative: str | None = None  # what to avoid when the request has no negative prompt
    batched: str = "auto"  # auto (on a GPU) | on | off: both passes of guidance in one call


@dataclass
class KeepConfig:
    """What stays as it is in the source: its noised latents are laid over the edit's at every step."""

    what: str = "auto"  # auto (by mode and size) | none | background | subject
    until: float = 1.0  # share of the steps, from the first
    margin: float = 0.04  # of the longer side: how much wider than its mask the subject counts


# The paper takes 16 frames, every fourth, at the video's own size; here frames= and size= ask for that.
_PAPER: dict[str, Any] = {
    "steps": 50,
    "start_t": 1000,
    "invert_prompt": "source",
    "maps.long_side": 128,
    "guide.edit_strength": 1.0,
    "guide.centre": False,
    "tune.steps": 100,
    "tune.lr": 5e-4,
    "tune.unet_lr": 5e-4,
    "tune.least_t": 0.0,
    "sample.guidance": 7.5,
    "sample.rescale": 0.0,
    "sample.negative": "low quality, blurry, distorted, deformed, watermark",
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    # 5e-4 for 100 steps moves each weight by up to 0.05, as much as Stable Diffusion's own: Tune-A-Video's rate.
    "safe": _PAPER | {"tune.unet_lr": 3e-5},
    "best": _PAPER | {"tune.unet_lr": 3e-5, "guide.centre": True},
}
# What `best` changes on a backbone, so that an edit of 16 frames is made in minutes on two cores there.
_POCKET: dict[str, Any] = {
    "steps": 20,
    "start_t": 600,
    "maps.long_side": 64,
    "tune.steps": 30,
    "tune.unet_lr": 5e-4,
    "sample.guidance": 4.0,
    "sample.negative": "",
}
TUNED: Mapping[str, Mapping[str, Any]] = {
    "pocket-animatediff": _POCKET,
    "pocket-modelscope": _POCKET,
    "pocket-sd": _POCKET,
}

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "mode": ("subject", "background", "style", "personalised"),
    "perceive": ("auto", "networks", "plain"),
    "invert_prompt": ("source", "empty"),
    "maps.colours": ("polar", "uv1"),
    "guide.inputs": (*INPUTS, "off"),
    "guide.heads": HEADS,
    "guide.sites": SITES,
    "guide.blocks": BLOCKS,
    "tune.loss": ("all", "subject"),
    "tune.temporal": TEMPORAL,
    "tune.checkpointing": ("auto", "on", "off"),
    "sample.batched": ("auto", "on", "off"),
    "keep.what": ("auto", "none", "background", "subject"),
}
_RANGES: Mapping[str, tuple[float, float]] = {
    "steps": (1, 1000),
    "start_t": (1, 1000),
    "maps.long_side": (8, 512),
    "guide.edit_strength": (0, 100),
    "tune.steps": (0, 100_000),
    "tune.lr": (0, 1),
    "tune.unet_lr": (0, 1),
    "tune.least_t": (0, 0.99),
    "tune.rank": (0, 1024),
    "tune.max_grad": (1e-6, 1e6),
    "tune.save_every": (1, 100_000),
    "sample.guidance": (0, 50),
    "sample.rescale": (0, 1),
    "keep.until": (0, 1),
    "keep.margin": (0, 0.5),
    "size": (0.2, 3),
    "size_noise": (0, 1),
}


@dataclass
class VidMP3Config(PresetSettings):
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = "vidmp3"
    preset: str = "best"  # paper | safe (small steps for the UNet) | best
    mode: str = "subject"  # subject | background | style (prompt is the style alone) | personalised
    subject: str = ""  # who moves, in the words of source_prompt, such as "silver jeep"
    subjects: list[str] = field(default_factory=list)  # several of them: one mask and one guide each
    pack: str | None = None  # a folder with a tuned pack, to be used in place of tuning
    save_pack: str | None = None  # where to keep the tuned pack
    steps: int | None = None  # DDIM steps, of the inversion as of the edit
    start_t: int | None = None  # 1 to 1000: the edit begins at this timestep of the inverted source; less keeps more
    invert_prompt: str | None = None  # source | empty
    size: float = 1.0  # of the subject, over the source's; it stays where it stands (ours: the paper has none)
    size_noise: float = 0.5  # 0 to 1: new noise in the inverted noise where the subject is, with another size
    perceive: str = "auto"  # auto | networks | plain (no network: for one thing on a plain background)
    masks: MaskSettings = field(default_factory=MaskSettings)
    depth: DepthSettings = field(default_factory=DepthSettings)
    correspondence: CorrespondenceSettings = field(default_factory=CorrespondenceSettings)
    maps: MapsConfig = field(default_factory=MapsConfig)
    guide: GuideConfig = field(default_factory=GuideConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)

    presets = PRESETS
    tuned = TUNED
    choices = _CHOICES
    ranges = _RANGES

    @property
    def names(self) -> tuple[str, ...]:
        """The subjects' words; one empty name when none is said."""
        return tuple(self.subjects) or (self.subject,)

    @property
    def kept(self) -> str:
        """What of the source stays: none, background or subject."""
        if self.keep.what != "auto":
            return self.keep.what
        if self.size != 1:
            return "background"
        return "subject" if self.mode == "background" else "none"

    def agree(self) -> None:
        """Refuse settings that cannot stand together; raises UserError with one line."""
        strength = self.guide.strength
        if strength is not None and not 0 <= strength <= 10:
            raise UserError(f"method.guide.strength={strength:g} is outside 0 to 10 (the paper: 0.05 to 0.1)")
        if self.start_t is not None and 1000 * (self.tune.least_t or 0) >= self.start_t:
            raise UserError(
                f"method.tune.least_t={self.tune.least_t:g} leaves nothing to tune below method.start_t="
                f"{self.start_t}: make one smaller or the other larger"
            )
        if self.subject and self.subjects:
            raise UserError("method.subject and method.subjects are both given: give one of them")
        words = [name.strip().lower() for name in self.subjects]
        if self.subjects and (not all(words) or len(set(words)) < len(words)):
            raise UserError("method.subjects must be different words, such as method.subjects=['dog','cat']")
        if self.keep.what == "subject" and self.size != 1:
            raise UserError("method.keep.what=subject keeps the subject as it is: leave method.size out")
