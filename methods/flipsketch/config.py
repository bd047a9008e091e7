"""Every setting of FlipSketch, its presets and the checks on them; imports no torch.

Where the paper and the authors' published code differ, a setting chooses; the defaults are the code's.
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
        "auto": "a drawing is used as it is, another picture is reduced to its outlines",
        "drawing": "use the picture as it is: it is a drawing",
        "none": "no drawing, only the sentence (T2V LoRA of Table 1)",
    },
)
# A setting without a default takes the preset's value; an explicit value always wins.


@dataclass
class SketchConfig:
    """How the picture becomes a drawing; see `motionkit.perception.sketch.SketchSettings`."""

    source: str = setting("How the picture becomes a drawing.", choices=SOURCES)
    clean: bool = setting("Whether the drawing is redrawn in black on white.")
    thickness: float | None = setting(
        "Width of all strokes; null keeps their own widths.", None, low=0.5, high=64, unit="px"
    )
    weights: str = setting(
        "With source=lineart: a folder with sk_model.pth and sk_model2.pth, or a hub id.",
        "lllyasviel/Annotators",
        file="folder",
    )
    coarse: bool = setting("With source=lineart: draw fewer lines.", False)


@dataclass
class InvertConfig:
    """DDIM inversion of the sketch, without text and guidance (FlipSketch section 4.1)."""

    copies: int = setting("Number of copies of the drawing that are inverted; their mean is used.", low=1, high=64)
    input_range: str = setting(
        "Value range of the pictures given to the autoencoder.",
        choices={"unit": "0 to 1, as in the authors' code", "signed": "-1 to 1, which the autoencoder knows"},
    )
    sample: str = setting(
        "How the sketch's latents are taken from the encoder's distribution.",
        choices={"posterior": "a different sample for each copy", "mean": "the mean, the same for all copies"},
    )
    path: str = setting(
        "Where the reference frame's latents at each step come from.",
        choices={"walked": "from denoising the sketch again, as in the paper", "kept": "as they were inverted"},
    )


@dataclass
class AlignConfig:
    """Iterative frame alignment (FlipSketch section 4.2): the frames' noise so that frame 0 is predicted as before."""

    enabled: bool = setting("Whether the frames' noise is aligned; takes about two thirds of a run's time.")
    fraction: float = setting("Share of the steps that are aligned, from the first.", low=0, high=1)
    updates: int = setting("Number of gradient steps on the noise in each aligned step.", low=0, high=1000)
    lr: float = setting("Size of these gradient steps.", low=0, high=1)
    stall: float = setting(
        "A step's alignment ends at a gradient step that lowered its loss by less than this share; 0 takes all.",
        0.0,
        low=0,
        high=1,
        later=True,
    )
    loss: str = setting(
        "The loss of a gradient step.",
        choices={"mse": "mean squared error, as in the authors' code", "norm": "the paper's squared norm"},
    )
    precision: str = setting(
        "The precision of the noise while it is aligned.",
        choices={"float32": "exact", "bfloat16": "as in the authors' app; most small updates are lost to rounding"},
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
class ComposeConfig:
    """Composed attention (FlipSketch section 4.3)."""

    spatial: bool = setting("Whether spatial attention also attends to the sketch's branch.")
    temporal: bool = setting("Whether temporal attention also attends to the sketch's branch.")
    fraction: float = setting(
        "Share of the steps with composed attention, from the first; the last step at the limit is included.",
        low=0,
        high=1,
    )
    first_frames: str = setting(
        "How many frames of the reference's branch temporal attention sees.",
        choices={"step": "one fewer at each step", "linear": "falling evenly over the composed steps"},
    )
    ramp: str = setting(
        "How lambda is distributed over the frames.",
        choices={"per_frame": "by the frame's number", "constant": "all frames alike"},
    )
    layers: str = setting(
        "Which temporal attention layers are composed.",
        choices={"attn1": "the first of each block", "all": "the second one too"},
    )
    passes: str = setting(
        "Which passes of classifier-free guidance use composed attention.",
        choices={"cond": "the one with the prompt", "both": "the one without the prompt as well"},
    )
    reference_guidance: str = setting(
        "Whether the reference's own branch uses guidance.",
        choices={"negative": "if a negative prompt is given", "none": "never"},
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
    batched: str = setting(
        "Whether both passes of guidance run through the network as one batch.",
        "auto",
        choices={"auto": "on a GPU", "on": "always: faster, more memory", "off": "never"},
    )


# The authors' full code, which is the paper's method; the comments above say where their words differ. Outside these
# settings a drawing is letterboxed (they stretch it), and the result plays at 8 frames a second (theirs at 10).
_PAPER: dict[str, Any] = {
    "motion": 0.5,
    "binarise": "otsu",
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
# Their captions tell drawings from coloured pictures, and a prompt that does not makes filled shapes. Guidance without
# rescale is far too strong at the noisiest steps. A threshold makes blots of soft lines that lie close; grey takes
# their tints.
_POCKET: dict[str, Any] = {
    "binarise": "grey",
    "pin_first_frame": True,
    "phrase": "a drawing of {prompt}",
    "reference_share": 0.9,
    "invert.input_range": "signed",
    "invert.path": "kept",
    "sample.guidance": 4.0,
    "sample.rescale": 0.8,
}
TUNED: Mapping[str, Mapping[str, Any]] = {"pocket-modelscope": _POCKET, "pocket-animatediff": _POCKET}

_DRAWN = ("drawing", "drawn", "sketch", "doodle", "line art", "lineart")  # words of a prompt that speaks of one


@dataclass
class FlipSketchConfig(PresetSettings):
    """Settings under `method.`; a missing value comes from the preset."""

    name: str = setting("The method's name.", "flipsketch")
    preset: str = setting(
        "The set of defaults for all settings that are not given.",
        "best",
        choices={
            "best": "the paper's method, with measured improvements on the pocket backbones",
            "paper": "the authors' full code, with the drawing used as it is",
            "app": "as in the authors' demo: no alignment, a third of the time",
        },
    )
    mode: str = setting(
        "What is animated.",
        "animate",
        choices={
            "animate": "the drawing",
            "words": "letters of a word; temporal attention is not composed",
            "extrapolate": "the drawing, then continued by next_prompts",
        },
    )
    next_prompts: list[str] = setting(
        "With mode=extrapolate: what happens after the prompt, one sentence per following clip.", factory=list
    )
    motion: float = setting(
        "Amount of motion: 0 stays closest to the sketch, 1 moves most (1 - lambda of the paper).", low=0, high=1
    )
    seeds: int = setting(
        "Number of videos, ranked by their similarity to the sketch; the best is the result.", 1, low=1, high=64
    )
    threshold: float = setting("Videos with a lower consistency are marked in the ranking.", 0.9, low=-1, high=1)
    clip: str | None = setting(
        "Folder with CLIP weights for the ranking; null searches this machine, else uses the sprite judge.",
        None,
        file="folder",
    )
    binarise: str = setting(
        "How the finished frames are drawn.",
        choices={
            "otsu": "strictly black on white (Otsu's threshold)",
            "grey": "in shades of grey on white paper: soft lines stay soft, tints go",
            "none": "as the network drew them",
        },
    )
    pin_first_frame: bool = setting("Whether frame 0 is kept as the reference at every step, as the paper states.")
    phrase: str = setting("Template for a prompt that mentions no drawing; '{prompt}' leaves it unchanged.")
    reference_share: float = setting(
        "Share of the reference's noise in the other frames' initial noise; 0 in the paper.", low=0, high=1
    )
    lora: str = setting(
        "The sketch LoRA: auto (the shipped one on pocket backbones), none, or a file, folder or hub id.",
        "auto",
        file="read",
    )
    store_mb: int = setting(
        "The reference's queries and keys are stored on disk up to this size, else in memory.",
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
        """Refuse settings that contradict each other; raises UserError with one line."""
        if self.undrawn and self.seeds > 1:
            raise UserError("method.sketch.source=none leaves no drawing to rank videos by: give method.seeds=1")
        if not is_open(self.phrase) and "{prompt}" not in self.phrase:
            raise UserError(f"method.phrase={self.phrase}: it must contain {{prompt}}, as in 'a drawing of {{prompt}}'")
        if self.mode == "extrapolate" and not self.next_prompts:
            raise UserError(
                "method.mode=extrapolate needs sentences for the following clips: method.next_prompts=['it lies down']"
            )
        if self.mode != "extrapolate" and self.next_prompts:
            raise UserError(f"method.next_prompts needs method.mode=extrapolate (got {self.mode})")
        if not all(text.strip() for text in self.next_prompts):
            raise UserError("method.next_prompts holds an empty sentence")
