"""Every setting of FlipSketch, its presets and the checks on them; imports no torch.

Where the paper and the authors' published code differ, each way is a setting; the defaults are the code's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError
from motionkit.perception.estimators import Words
from motionkit.settings.presets import PresetSettings

SOURCES = Words(
    "drawing",
    {
        "auto": "a drawing is taken as one, another picture goes through its outlines",
        "drawing": "the picture is a drawing",
        "none": "no drawing: the sentence alone (T2V LoRA of Table 1)",
    },
)
# A setting left at None takes the preset's value; one that is set explicitly always wins.


@dataclass
class SketchConfig:
    """How the picture becomes a drawing; see `motionkit.perception.sketch.SketchSettings`."""

    source: str | None = None  # auto | drawing | none (T2V LoRA of Table 1) | an estimator: edges, lineart
    clean: bool | None = None  # drawn anew in black on white
    thickness: float | None = None  # pixels; None keeps the strokes' own
    weights: str = "lllyasviel/Annotators"  # lineart: a folder with sk_model.pth and sk_model2.pth, or a hub id
    coarse: bool = False  # lineart: fewer lines


@dataclass
class InvertConfig:
    """DDIM inversion of the sketch, without text and guidance (FlipSketch section 4.1)."""

    copies: int | None = None  # frames of the clip that is inverted; the result is their mean
    input_range: str | None = None  # unit (pictures as 0 to 1, as the code feeds them) | signed (the VAE's -1 to 1)
    sample: str | None = None  # posterior (each copy another sample) | mean
    path: str | None = None  # walked (the sketch is denoised again: the paper) | kept (as it was inverted)


@dataclass
class AlignConfig:
    """Iterative frame alignment (FlipSketch section 4.2): the frames' noise so that frame 0 is predicted as before."""

    enabled: bool | None = None
    fraction: float | None = None  # of the steps, from the first
    updates: int | None = None
    lr: float | None = None
    loss: str | None = None  # mse (the code) | norm (the paper's squared norm)
    precision: str | None = None  # float32 | bfloat16 (the code in its app, where most small updates are rounded off)
    checkpointing: str = "auto"  # auto (as the gpu plan says) | on | off: less memory, more time


@dataclass
class ComposeConfig:
    """Composed attention (FlipSketch section 4.3)."""

    spatial: bool | None = None
    temporal: bool | None = None
    fraction: float | None = None  # of the steps, from the first; the step at the bound is composed too
    first_frames: str | None = None  # step (one frame of the reference less at each step) | linear (over these steps)
    ramp: str | None = None  # per_frame (lambda counts by the frame's number) | constant
    layers: str | None = None  # attn1 | all (the second temporal self-attention too)
    passes: str | None = None  # cond | both (the pass without the prompt is composed as well)
    reference_guidance: str | None = None  # negative (guided when a negative prompt is given) | none


@dataclass
class SampleConfig:
    """From noise to frames."""

    steps: int | None = None
    guidance: float | None = None
    rescale: float | None = None  # guidance rescale, 0 to 1
    batched: str = "auto"  # auto (on a GPU) | on | off: both passes of guidance in one call


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

_CHOICES: Mapping[str, Any] = {
    "mode": ("animate", "words", "extrapolate"),
    "binarise": ("otsu", "none"),
    "sketch.source": SOURCES,
    "invert.input_range": ("unit", "signed"),
    "invert.sample": ("posterior", "mean"),
    "invert.path": ("walked", "kept"),
    "align.loss": ("mse", "norm"),
    "align.precision": ("float32", "bfloat16"),
    "align.checkpointing": ("auto", "on", "off"),
    "compose.first_frames": ("step", "linear"),
    "compose.ramp": ("per_frame", "constant"),
    "compose.layers": ("attn1", "all"),
    "compose.passes": ("cond", "both"),
    "compose.reference_guidance": ("negative", "none"),
    "sample.batched": ("auto", "on", "off"),
}

_DRAWN = ("drawing", "drawn", "sketch", "doodle", "line art", "lineart")  # words of a prompt that speaks of one

_RANGES: Mapping[str, tuple[float, float]] = {
    "motion": (0, 1),
    "seeds": (1, 64),
    "reference_share": (0, 1),
    "threshold": (-1, 1),
    "store_mb": (0, 1e6),
    "invert.copies": (1, 64),
    "align.fraction": (0, 1),
    "align.updates": (0, 1000),
    "align.lr": (0, 1),
    "compose.fraction": (0, 1),
    "sample.steps": (1, 1000),
    "sample.guidance": (0, 50),
    "sample.rescale": (0, 1),
}


@dataclass
class FlipSketchConfig(PresetSettings):
    """Settings under `method.`; a value left out comes from the preset."""

    name: str = "flipsketch"
    preset: str = "best"  # best | paper | app (no alignment: a third of the time)
    mode: str = "animate"  # animate | words (a word's letters: no temporal composition) | extrapolate
    next_prompts: list[str] = field(default_factory=list)  # extrapolate: what happens after `prompt`, one by one
    motion: float | None = None  # 0 keeps to the sketch, 1 moves most: 1 - lambda of the paper
    seeds: int = 1  # videos in one batch, ranked by how well they keep to the sketch; the best is the result
    threshold: float = 0.9  # ranked videos below it are marked
    clip: str | None = None  # folder with CLIP weights for the ranking
    binarise: str = "otsu"  # otsu (strictly black on white) | none
    pin_first_frame: bool | None = None  # frame 0 stays the reference at every step (the paper's words)
    phrase: str | None = None  # how a prompt that speaks of no drawing is put; "{prompt}" leaves it as it is
    reference_share: float | None = None  # share of the other frames' noise that is the reference's; 0 in the paper
    lora: str = "auto"  # auto (the shipped one on pocket-modelscope) | none | a file or folder
    store_mb: int = 1024  # reference queries and keys up to this size are kept on disk, larger ones in memory
    sketch: SketchConfig = field(default_factory=SketchConfig)
    invert: InvertConfig = field(default_factory=InvertConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    presets = PRESETS
    tuned = TUNED
    choices = _CHOICES
    ranges = _RANGES

    @property
    def lambda_(self) -> float:
        """Lambda of FlipSketch section 4.3: 1 - motion."""
        return 1 - float(self.motion or 0)

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
        return str(self.phrase or "{prompt}").replace("{prompt}", prompt)

    def agree(self) -> None:
        """Refuse settings that cannot stand together; raises UserError with one line."""
        if self.undrawn and self.seeds > 1:
            raise UserError("method.sketch.source=none leaves no drawing to rank videos by: give method.seeds=1")
        if self.phrase is not None and "{prompt}" not in self.phrase:
            raise UserError(f"method.phrase={self.phrase}: say where the prompt goes, as in 'a drawing of {{prompt}}'")
        if self.mode == "extrapolate" and not self.next_prompts:
            raise UserError("method.mode=extrapolate needs what happens next: method.next_prompts=['it lies down']")
        if self.mode != "extrapolate" and self.next_prompts:
            raise UserError(f"method.next_prompts is for method.mode=extrapolate, not {self.mode}")
        if not all(text.strip() for text in self.next_prompts):
            raise UserError("method.next_prompts holds an empty sentence")
