"""Every setting of FlipSketch, its presets and the checks on them; imports no torch.

Where the paper and the authors' published code differ, each way is a setting; the defaults are the code's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.perception.estimators import Words
from motionkit.settings.presets import PresetSettings, is_open
from motionkit.settings.setting import setting

SOURCES = Words(
    "drawing",
    {
        "auto": "a drawing is taken as one, another picture goes through its outlines",
        "drawing": "the picture is a drawing",
        "none": "no drawing: the sentence alone (T2V LoRA of Table 1)",
    },
)
# A setting without a default takes the preset's value; one that is set explicitly always wins.


@dataclass
class SketchConfig:
    """How the picture becomes a drawing; see `motionkit.perception.sketch.SketchSettings`."""

    source: str = setting("How the picture becomes a drawing.", choices=SOURCES)
    clean: bool = setting("Whether the drawing is drawn anew in black on white.")
    thickness: float | None = setting(
        "Width of all strokes; null keeps the strokes' own.", None, low=0.5, high=64, unit="px"
    )
    weights: str = setting(
        "For lineart: a folder with sk_model.pth and sk_model2.pth, or a hub id.", "lllyasviel/Annotators"
    )
    coarse: bool = setting("For lineart: draw fewer lines.", False)


@dataclass
class InvertConfig:
    """DDIM inversion of the sketch, without text and guidance (FlipSketch section 4.1)."""

    copies: int = setting("Frames of the clip that is inverted; the result is their mean.", low=1, high=64)
    input_range: str = setting(
        "The range in which pictures are fed to the autoencoder.",
        choices={"unit": "0 to 1, as the authors' code feeds them", "signed": "-1 to 1, which the autoencoder knows"},
    )
    sample: str = setting(
        "How the sketch's latents are drawn from the encoder.",
        choices={"posterior": "each copy another sample", "mean": "the mean, the same for all copies"},
    )
    path: str = setting(
        "Where the reference frame's latents at each step come from.",
        choices={"walked": "the sketch is denoised again, as in the paper", "kept": "as they were inverted"},
    )


@dataclass
class AlignConfig:
    """Iterative frame alignment (FlipSketch section 4.2): the frames' noise so that frame 0 is predicted as before."""

    enabled: bool = setting("Whether the frames' noise is aligned; about two thirds of a run's time.")
    fraction: float = setting("Share of the steps that are aligned, counted from the first.", low=0, high=1)
    updates: int = setting("Gradient steps on the noise in each aligned step.", low=0, high=1000)
    lr: float = setting("Size of these gradient steps.", low=0, high=1)
    stall: float = setting(
        "A step's alignment ends at a gradient step that lowered its loss by less than this share; 0 takes all.",
        0.0,
        low=0,
        high=1,
        later=True,
    )
    loss: str = setting(
        "What a gradient step lowers.",
        choices={"mse": "the mean square, as in the authors' code", "norm": "the paper's squared norm"},
    )
    precision: str = setting(
        "The precision of the noise while it is aligned.",
        choices={"float32": "exact", "bfloat16": "as in the authors' app, where most small updates are rounded off"},
    )
    checkpointing: str = setting(
        "Whether activations are computed twice to save memory.",
        "auto",
        choices={"auto": "as the gpu plan says", "on": "less memory, more time", "off": "more memory, less time"},
    )


@dataclass
class ComposeConfig:
    """Composed attention (FlipSketch section 4.3)."""

    spatial: bool = setting("Whether attention within frames looks at the sketch's branch too.")
    temporal: bool = setting("Whether attention along time looks at the sketch's branch too.")
    fraction: float = setting(
        "Share of the steps that are composed, counted from the first; the step at the bound is composed too.",
        low=0,
        high=1,
    )
    first_frames: str = setting(
        "How many frames of the reference's branch attention along time sees.",
        choices={"step": "one less at each step", "linear": "falling evenly over the composed steps"},
    )
    ramp: str = setting(
        "How lambda weighs the frames.", choices={"per_frame": "by the frame's number", "constant": "all frames alike"}
    )
    layers: str = setting(
        "Which attention along time is composed.",
        choices={"attn1": "the first of each block", "all": "the second one too"},
    )
    passes: str = setting(
        "Which passes of guidance are composed.",
        choices={"cond": "the one with the prompt", "both": "the one without the prompt as well"},
    )
    reference_guidance: str = setting(
        "Whether the reference's own branch is guided.",
        choices={"negative": "when a negative prompt is given", "none": "never"},
    )


@dataclass
class SampleConfig:
    """From noise to frames."""

    steps: int = setting("Steps of the sampler.", low=1, high=1000)
    guidance: float = setting("Scale of classifier-free guidance; 1 is none.", low=0, high=50)
    rescale: float = setting("How far guidance keeps the prediction's own spread (rescaled guidance).", low=0, high=1)
    batched: str = setting(
        "Whether both passes of guidance go through the network in one call.",
        "auto",
        choices={"auto": "on a GPU", "on": "always: faster, more memory", "off": "never"},
    )


# The authors' full code, which is the paper's method; the comments above say where their words differ. Outside these
# settings a drawing is letterboxed (they stretch it), and the result plays at 8 frames a second (theirs at 10).
_PAPER: dict[str, Any] = {
    "motion": 0.5,
    "pin_first_frame": False,
    "phrase": "{prompt}",
    "reference_share": 0.0,
    "sketch.source": "drawing",
    "sketch.clean": False,
    "invert.copies": 5,
    "invert.input_range": "unit",
    "invert.sample": "posterior",
    "invert.path": "walked",
    "align.enabled": True,
    "align.fraction": 0.4,
    "align.updates": 9,
    "align.lr": 1e-3,
    "align.loss": "mse",
    "align.precision": "float32",
    "compose.spatial": True,
    "compose.temporal": True,
    "compose.fraction": 0.6,
    "compose.first_frames": "step",
    "compose.ramp": "per_frame",
    "compose.layers": "attn1",
    "compose.passes": "cond",
    "compose.reference_guidance": "negative",
    "sample.steps": 25,
    "sample.guidance": 9.0,
    "sample.rescale": 0.0,
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    "app": _PAPER | {"align.enabled": False},  # the authors' published app leaves alignment out: a third of the time
    "best": _PAPER | {"compose.reference_guidance": "none", "sketch.source": "auto", "sketch.clean": True},
}
# What `best` changes on a backbone, by measurement on pocket-modelscope (benchmarks/README.md): the pocket autoencoder
# knows pictures as -1 to 1 only, both UNets were trained with noise that the frames share, and their schedules end in
# so much noise that a sketch that is denoised again comes back broken (ink .86 of the drawing's; as inverted: 1.00).
# Their captions tell drawings from coloured pictures, and a prompt that does not makes filled shapes.
_POCKET: dict[str, Any] = {
    "pin_first_frame": True,
    "phrase": "a drawing of {prompt}",
    "reference_share": 0.9,
    "invert.input_range": "signed",
    "invert.path": "kept",
    "sample.guidance": 4.0,
}
TUNED: Mapping[str, Mapping[str, Any]] = {"pocket-modelscope": _POCKET, "pocket-animatediff": _POCKET}

_DRAWN = ("drawing", "drawn", "sketch", "doodle", "line art", "lineart")  # words of a prompt that speaks of one


@dataclass
class FlipSketchConfig(PresetSettings):
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = setting("The method's name.", "flipsketch")
    preset: str = setting(
        "Which table fills in what is not given.",
        "best",
        choices={
            "best": "the paper's method, with what was measured to be better on the pocket backbones",
            "paper": "the authors' full code, the drawing taken as it is",
            "app": "as the authors' demo ships: no alignment, a third of the time",
        },
    )
    mode: str = setting(
        "What is animated.",
        "animate",
        choices={
            "animate": "the drawing",
            "words": "a word's letters: no composed attention along time",
            "extrapolate": "the drawing, then what next_prompts say",
        },
    )
    next_prompts: list[str] = setting(
        "For extrapolate: what happens after the prompt, one sentence after another.", factory=list
    )
    motion: float = setting(
        "How much it moves: 0 keeps to the sketch, 1 moves most (1 - lambda of the paper).", low=0, high=1
    )
    seeds: int = setting(
        "Videos in one batch, ranked by how well they keep to the sketch; the best is the result.", 1, low=1, high=64
    )
    threshold: float = setting("Ranked videos whose consistency is below it are marked.", 0.9, low=-1, high=1)
    clip: str | None = setting(
        "Folder with CLIP weights for the ranking; null looks on this machine, then takes the sprite judge.", None
    )
    binarise: str = setting(
        "What the finished frames are made of.",
        "otsu",
        choices={"otsu": "strictly black on white (Otsu's threshold)", "none": "as the network drew them"},
    )
    pin_first_frame: bool = setting("Whether frame 0 stays the reference at every step, as the paper words it.")
    phrase: str = setting("How a prompt that speaks of no drawing is put; '{prompt}' leaves it as it is.")
    reference_share: float = setting(
        "Share of the other frames' first noise that is the reference's; 0 in the paper.", low=0, high=1
    )
    lora: str = setting(
        "The sketch LoRA: auto is the shipped one on the pocket backbones; none, or a file or folder.", "auto"
    )
    store_mb: int = setting(
        "Queries and keys of the reference up to this size are kept on disk, larger ones in memory.",
        1024,
        low=0,
        high=1e6,
        unit="MB",
    )
    sketch: SketchConfig = field(default_factory=SketchConfig)
    invert: InvertConfig = field(default_factory=InvertConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    presets = PRESETS
    tuned = TUNED

    @property
    def lambda_(self) -> float:
        """Lambda of FlipSketch section 4.3: 1 - motion."""
        return 1 - self.motion

    @property
    def undrawn(self) -> bool:
        """Whether the first clip is made from the sentence alone."""
        return self.sketch.source == "none"

    def phrased(self, prompt: str) -> str:
        """What the text encoder reads for a prompt.

        >>> FlipSketchConfig(phrase="a drawing of {prompt}").phrased("a cat jumping")
        'a drawing of a cat jumping'
        """
        if any(word in prompt.lower() for word in _DRAWN):
            return prompt
        return self.phrase.replace("{prompt}", prompt)

    def agree(self) -> None:
        """Refuse settings that cannot stand together; raises UserError with one line."""
        if self.undrawn and self.seeds > 1:
            raise UserError("method.sketch.source=none leaves no drawing to rank videos by: give method.seeds=1")
        if not is_open(self.phrase) and "{prompt}" not in self.phrase:
            raise UserError(f"method.phrase={self.phrase}: say where the prompt goes, as in 'a drawing of {{prompt}}'")
        if self.mode == "extrapolate" and not self.next_prompts:
            raise UserError("method.mode=extrapolate needs what happens next: method.next_prompts=['it lies down']")
        if self.mode != "extrapolate" and self.next_prompts:
            raise UserError(f"method.next_prompts is for method.mode=extrapolate, not {self.mode}")
        if not all(text.strip() for text in self.next_prompts):
            raise UserError("method.next_prompts holds an empty sentence")
