"""The runs whose results are guarded: every method on each tiny backbone, on the pocket ones, and in training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PROMPTS = {"prompt": "orange giraffe running", "source_prompt": "a purple cat running", "negative_prompt": "blue"}
QUICK: dict[str, dict[str, Any]] = {  # settings with which a method takes seconds and yet does all that it can do
    "anamodiff": {"lora": {"steps": 2}, "sample": {"steps": 4, "guidance": 1.5}},
    "flipsketch": {
        "binarise": "none",  # black and white would hide small changes
        "align": {"updates": 2},
        "invert": {"copies": 2},
        "sample": {"steps": 4, "guidance": 5.0},
    },
    "vidmp3": {"steps": 3, "tune": {"steps": 2}, "maps": {"long_side": 16}, "sample": {"guidance": 2.0}},
    "animatex": {"sample": {"steps": 3, "guidance": 2.0}, "window": {"size": 3, "overlap": 1}},
    "still": {},
    "warp": {},
}
TINY: dict[str, tuple[str | None, ...]] = {
    "anamodiff": ("tiny-sd", "tiny-sdxl", "tiny-animatediff-sd15", "tiny-animatediff-sdxl", "tiny-modelscope"),
    "flipsketch": ("tiny-modelscope", "tiny-animatediff-sd15", "tiny-animatediff-sdxl"),
    "vidmp3": ("tiny-sd", "tiny-sdxl", "tiny-animatediff-sd15", "tiny-animatediff-sdxl", "tiny-modelscope"),
    "animatex": ("tiny-animatex", "tiny-animatex-mamba"),
    "still": (None,),
    "warp": (None,),
}
POCKET = (
    ("anamodiff", "pocket-sd"),
    ("flipsketch", "pocket-modelscope"),
    ("vidmp3", "pocket-animatediff"),
    ("animatex", "pocket-animatex"),
    ("animatex", "pocket-animatex-mamba"),
)
BFLOAT16 = {"name": "cpu", "dtype": "bfloat16"}


@dataclass(frozen=True)
class Case:
    """One guarded run.

    Attributes:
        kind: transfer (frames and stages) | compare (measured figures) | train (weights) | recipe (first losses).
        settings, options: of a transfer: the method's own, and those of the call.
        words: of a command line.
        slow: too long for every day.
    """

    name: str
    kind: str
    method: str = ""
    backbone: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    gpu: Any = "cpu"
    words: tuple[str, ...] = ()
    slow: bool = False


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Settings with others laid over them, table by table."""
    out = dict(base)
    for key, value in change.items():
        out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def tiny(method: str, backbone: str | None, mark: str = "", **change: Any) -> Case:
    """A method on a tiny backbone: four frames of 64 pixels."""
    name = "-".join(filter(None, (method, backbone, mark)))
    return Case(name, "transfer", method, backbone, merged(QUICK[method], change), {"frames": 4, "size": 64})


def pocket(method: str, backbone: str, half: bool) -> Case:
    """A method on its pocket backbone: four frames of the shipped example in its own size."""
    name = f"{method}-{backbone}" + ("-bfloat16" if half else "")
    gpu = BFLOAT16 if half else "cpu"
    slow = half or method != "anamodiff"
    return Case(name, "transfer", method, backbone, QUICK[method], {"frames": 4}, gpu, slow=slow)


VARIANTS = (  # what the defaults leave out
    tiny("anamodiff", "tiny-sd", "paper", preset="paper"),
    tiny("anamodiff", "tiny-sd", "latent", warp={"space": "latent"}, sample={"start": "inverted"}),
    tiny("flipsketch", "tiny-modelscope", "paper", preset="paper"),
    tiny("flipsketch", "tiny-modelscope", "otsu", binarise="otsu"),
    tiny("vidmp3", "tiny-animatediff-sd15", "paper", preset="paper"),
    tiny("vidmp3", "tiny-sd", "rank", tune={"rank": 2}, guide={"inputs": "concat"}),
    tiny("animatex", "tiny-animatex", "paper", preset="paper"),
    tiny("animatex", "tiny-animatex", "plain", align="none", indicator=False, reference_mode="latent"),
    tiny("warp", None, "chain", flow="farneback", path="chain"),
)

COMPARE = Case(
    "compare-pocket-sd",
    "compare",
    words=(
        "methods=[still,warp,anamodiff]",
        "backbone=pocket-sd",
        "frames=4",
        "settings.anamodiff.lora.steps=2",
        "settings.anamodiff.sample.steps=4",
    ),
    slow=True,
)

_TRAIN = ("data=sprites", "steps=2", "train.batch=2")
TRAINING = (
    Case(
        "train-anamodiff",
        "train",
        words=(
            "method=anamodiff",
            "size=32",
            "train.backbone=tiny-sd",
            "train.num_kp=4",
            "train.detector_width=8",
            "train.flow_width=8",
            "train.max_width=32",
            *_TRAIN,
        ),
    ),
    Case(
        "train-flipsketch",
        "train",
        words=(
            "method=flipsketch",
            "size=32",
            "train.backbone=tiny-modelscope",
            "train.frames=2",
            "train.sprite_clips=2",
            "train.warmup=0",
            *_TRAIN,
        ),
    ),
    Case(
        "train-animatex",
        "train",
        words=(
            "method=animatex",
            "size=64",
            "train.backbone=tiny-animatex",
            "train.frames=2",
            "train.sprite_clips=2",
            "train.sprite_frames=4",
            "train.warmup=0",
            "train.half=false",
            *_TRAIN,
        ),
    ),
    Case("recipe-pocket-sd", "recipe", method="pocket_sd"),
    Case("recipe-pocket-maps", "recipe", method="pocket_maps"),
)

CASES = (
    *(tiny(method, backbone) for method, names in TINY.items() for backbone in names),
    *VARIANTS,
    *(pocket(method, backbone, half) for half in (False, True) for method, backbone in POCKET),
    COMPARE,
    *TRAINING,
)
