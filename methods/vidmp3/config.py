"""Every setting of VIDMP3, its presets and the checks on them; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.perception.correspondence import CorrespondenceSettings
from motionkit.perception.depth import DepthSettings
from motionkit.perception.masks import MaskSettings
from motionkit.settings.presets import PresetSettings, is_open
from motionkit.settings.setting import setting

from .options import BLOCKS, HEADS, SEES, SITES, TEMPORAL

# A setting without a default takes the preset's value; an explicit value always wins.


@dataclass
class MapsConfig:
    """Correspondence, depth and masks as the guide sees them (VIDMP3 section 3.1)."""

    colours: str = setting(
        "How a position in the first frame is coded as a colour.",
        "polar",
        choices={
            "polar": "by angle and distance from the subject's centre, as in the paper",
            "uv1": "red by x, green by y, blue 1; without a seam",
        },
    )
    long_side: int = setting("Longer side of the maps that the guide sees.", low=8, high=512, unit="px")
    steady: bool = setting(
        "Whether flicker of the depth is removed by means of the background; for a static camera.", False
    )


@dataclass
class GuideConfig:
    """MotionGuide, and how it enters temporal attention (VIDMP3 sections 3.1 and 3.2)."""

    inputs: str = setting("What the guide sees.", "product", choices=SEES | {"off": "no guide: tuning alone"})
    strength: float | None = setting(
        "Lambda, the strength of the guide; null is 0.1 for large motion and 0.05 for small, as in the paper.",
        None,
        low=0,
        high=10,
    )
    edit_strength: float = setting("Factor on lambda while editing.", low=0, high=100)
    centre: bool = setting("Whether the mean over time is subtracted from what the guide adds.")
    heads: str = setting("How the motion vector becomes what each layer along time adds.", "per_width", choices=HEADS)
    sites: str = setting("Which attention layers of each motion module use the guide.", "all", choices=SITES)
    blocks: str = setting("Which blocks of the UNet use the guide.", "all", choices=BLOCKS)


@dataclass
class TuneConfig:
    """Tuning on the source video (VIDMP3 section 3.2)."""

    steps: int = setting("Tuning steps; 0 skips tuning.", low=0, high=100_000)
    lr: float = setting("Learning rate of MotionGuide.", low=0, high=1)
    unet_lr: float = setting("Learning rate of the UNet's tuned weights.", low=0, high=1)
    least_t: float = setting("Share of the noise levels, from the lowest, that tuning skips.", low=0, high=0.99)
    loss: str = setting(
        "Where in the picture the loss is computed.",
        "all",
        choices={"all": "everywhere", "subject": "on the subject alone"},
    )
    temporal: str = setting("Which weights of attention along time are tuned.", "auto", choices=TEMPORAL)
    ends: bool = setting("Whether the motion modules' own proj_in and proj_out are tuned too.", False)
    rank: int = setting(
        "0 tunes the weights themselves; above 0 tunes a LoRA of this rank on the same layers, for small packs.",
        0,
        low=0,
        high=1024,
    )
    max_grad: float = setting("Maximum norm of the gradient.", 1.0, low=1e-6, high=1e6)
    save_every: int = setting(
        "Steps between checkpoints, from which a stopped run resumes.", 25, low=1, high=100_000, unit="steps"
    )
    checkpointing: str = setting(
        "Whether activations are recomputed to save memory (gradient checkpointing).",
        "auto",
        choices={
            "auto": "as the GPU memory plan decides",
            "on": "less memory, more time",
            "off": "more memory, less time",
        },
    )


@dataclass
class SampleConfig:
    """Denoising with the edited prompt; its number of steps is `steps`."""

    guidance: float = setting("Scale of classifier-free guidance; 1 is off.", low=0, high=50)
    rescale: float = setting(
        "Guidance rescale: how far the guided prediction keeps the original standard deviation; 0 is off.",
        low=0,
        high=1,
    )
    negative: str = setting("Negative prompt, if the request has none.")
    batched: str = setting(
        "Whether both passes of guidance run through the network as one batch.",
        "auto",
        choices={"auto": "on a GPU", "on": "always: faster, more memory", "off": "never"},
    )


@dataclass
class KeepConfig:
    """What of the source stays unchanged: its noised latents replace the edit's there at every step."""

    what: str = setting(
        "What of the source stays unchanged.",
        "auto",
        choices={
            "auto": "depends on mode and size",
            "none": "nothing",
            "background": "everything except the subject",
            "subject": "the subject",
        },
    )
    until: float = setting("Share of the steps in which it is kept, from the first.", 1.0, low=0, high=1)
    margin: float = setting(
        "How much the subject's mask is widened, as a share of the longer side.", 0.04, low=0, high=0.5
    )


# The paper takes 16 frames, every fourth, at the video's own size: see `most`, `stride` and `edits` of the method.
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
    # 5e-4 for 100 steps moves each weight by up to 0.05, the size of the weights themselves: use Tune-A-Video's rate.
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
    "sample.rescale": 0.8,
    "sample.negative": "",
}
TUNED: Mapping[str, Mapping[str, Any]] = {
    "pocket-animatediff": _POCKET,
    "pocket-modelscope": _POCKET,
    "pocket-sd": _POCKET,
}


@dataclass
class VidMP3Config(PresetSettings):
    """Settings under `method.`; a missing value comes from the preset."""

    name: str = setting("The method's name.", "vidmp3")
    preset: str = setting(
        "The set of defaults for all settings that are not given.",
        "best",
        choices={
            "paper": "what the paper states",
            "safe": "the paper's with a lower learning rate for the UNet",
            "best": "measured improvements, and faster on the pocket backbones",
        },
    )
    mode: str = setting(
        "What the edit changes.",
        "subject",
        choices={
            "subject": "the subject; the new one moves like the source's",
            "background": "the background",
            "style": "the style; the prompt names only the style",
            "personalised": "the subject; the new one is known to backbone.lora or backbone.path",
        },
    )
    subject: str = setting("The moving subject, in the words of source_prompt, such as silver jeep.", "")
    subjects: list[str] = setting("Several subjects, each with its own mask and guide.", factory=list)
    pack: str | None = setting(
        "Folder of a tuned pack to use (see save_pack); null tunes on this request.", None, file="folder"
    )
    save_pack: str | None = setting(
        "Folder to save the tuned weights to, for later runs (a pack); null saves none.", None, file="write"
    )
    steps: int = setting("DDIM steps, of both inversion and edit.", low=1, high=1000)
    start_t: int = setting(
        "Timestep of the inverted source at which the edit starts; a lower one keeps more of the source.",
        low=1,
        high=1000,
    )
    invert_prompt: str = setting(
        "Prompt for inverting the source.", choices={"source": "source_prompt", "empty": "none"}
    )
    size: float = setting(
        "Size of the new subject relative to the source's; its ground position stays (not in the paper).",
        1.0,
        low=0.2,
        high=3,
    )
    size_noise: float = setting(
        "With another size: share of fresh noise in the subject's inverted noise.", 0.5, low=0, high=1
    )
    perceive: str = setting(
        "How masks, depth and correspondence are estimated.",
        "auto",
        choices={
            "auto": "networks, or plain on the tiny backbones",
            "networks": "the networks chosen by method.masks, depth and correspondence",
            "plain": "no networks; only for one subject on a plain background",
        },
    )
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
        """Refuse settings that contradict each other; raises UserError with one line."""
        open_ = is_open(self.start_t) or is_open(self.tune.least_t)
        if not open_ and 1000 * self.tune.least_t >= self.start_t:
            raise UserError(
                f"method.tune.least_t={self.tune.least_t:g} leaves nothing to tune below method.start_t="
                f"{self.start_t}: lower least_t or raise start_t"
            )
        if self.subject and self.subjects:
            raise UserError("method.subject and method.subjects are both given: give only one of them")
        words = [name.strip().lower() for name in self.subjects]
        if self.subjects and (not all(words) or len(set(words)) < len(words)):
            raise UserError("method.subjects must be different words, such as method.subjects=['dog','cat']")
        if self.keep.what == "subject" and self.size != 1:
            raise UserError("method.keep.what=subject keeps the subject unchanged: leave method.size out")
