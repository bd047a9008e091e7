"""The trainings for a set of pocket weights: their order, length, and what each must reach."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

RUNS = Path("runs/pocket")
_HERE, _METHODS = "motionkit.training.recipes", "motionkit.methods"


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        name: of its folder in runs/ and of its record.  module: to run.  hours: planned core-hours.
        gate: the result to reach before the next one.  options: further ones of its command.
        gpu: those of a run on a GPU, where a larger batch costs no more time.
    """

    name: str
    module: str
    hours: float
    gate: str
    options: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()

    def command(self, second: Path | None = None, workers: int | None = None) -> list[str]:
        """The command that runs it; on a GPU with `gpu_workers` processes that render ahead, if given."""
        copies = ["--second", str(second)] if second else []
        folder = ["--folder", str(RUNS / self.name)]
        fast = [] if workers is None else ["--device", "cuda", "--workers", str(workers), *self.gpu]
        return [sys.executable, "-m", self.module, *folder, *copies, *fast, *self.options]


def _method(
    name: str,
    hours: float,
    gate: str,
    words: str,
    needs: str,
    take: tuple[str, str] | None = None,
    variants: str = "",
    clips: str = "",
) -> Stage:
    """A stage that runs a method's own trainer (`method_stage`); variants are lines of a name and further words.

    `clips` are the words of `motionkit sprites` for what all variants are trained on.
    """
    kept = ("--take", *take) if take else ()
    lines = [line.split() for line in variants.strip().splitlines()]
    further = [word for first, *rest in lines for word in (f"variant:{first}", *rest)]
    drawn = ("--sprites", *clips.split()) if clips else ()
    options = ("--needs", *needs.split(), *kept, *drawn, "--", *words.split(), *further)
    return Stage(name, f"{_HERE}.method_stage", hours, gate, options)


_LARGE = ("--batch", "256", "--steps", "9000", "--noises", "4")
_CLIPS = ("--batch", "32", "--steps", "4000")
_SKETCH = (
    "method=flipsketch data=sprites train.sprite_clips=600 train.backbone=pocket-modelscope train.half=true steps=700"
)
# Only the layers along time, trained from scratch on the finished network: Mamba, and attention for as many steps.
# Poses, what is left out, and noise as in the stage of that network (methods/animatex/clip_stage.py).
_TWIN = (
    "method=animatex data=sprites train.sprite_clips=1200 train.drop=0.05 train.all_drop=0.05 train.offset=0 "
    "train.noise_share=1 train.epi.probability=0.1 train.epi.realign=false train.epi.each=0.3 train.epi.low=0.85 "
    "train.epi.high=1.15 train.epi.groups=[body_shoulder,neck_face,arm_leg] train.start=own train.renew=time "
    "train.learn=temporal train.timesteps=uniform train.lr=1e-3 steps=700"
)
# The rows of Animate-X's ablations: small models of 64 pixels, each by the budget that the ledger names.
_SMALL = "method=animatex train.drop=0.2 size=64 steps=400 train.learn=pocket train.cache={folder}/cache"
_SMALL_CLIPS = "what=dataset split=train count=600 frames=16 size=64"
_ROWS = """
full
no-ipi train.indicator=false
no-epi train.epi.probability=0
no-realign train.epi.realign=false
no-rescale train.epi.rescale=false
no-lq train.variant.query=keypoints
no-dq train.variant.query=learned
kv-q train.variant.query=features
parallel train.variant.parallel=true
no-add train.epi.groups=[drop,body_shoulder,neck_face,arm_leg]
no-drop train.epi.groups=[add,body_shoulder,neck_face,arm_leg]
no-bs train.epi.groups=[drop,add,neck_face,arm_leg]
no-nf train.epi.groups=[drop,add,body_shoulder,arm_leg]
no-al train.epi.groups=[drop,add,body_shoulder,neck_face]
full-again seed=1
lambda-100 train.epi.probability=1.0
lambda-95 train.epi.probability=0.95
lambda-90 train.epi.probability=0.90
lambda-80 train.epi.probability=0.80
"""

STAGES = (
    Stage("colour-decoder", f"{_HERE}.colour_decoder", 1, "subject PSNR of 26.3 dB", ("--steps", "11500")),
    Stage("fold", f"{_HERE}.fold_latents", 0.05, "latents of unit variance"),
    Stage(
        "pocket-sd",
        f"{_HERE}.pocket_sd",
        5.5,
        "kind and colour right in 98 %, gradient 0.85 of the truth's",
        gpu=_LARGE,
    ),
    Stage("pocket-pose", f"{_HERE}.pocket_pose", 0.7, "bodies of an unseen style found in 90 % of the clips"),
    Stage(
        "pose-image",
        f"{_METHODS}.animatex.image_stage",
        3.7,
        "subject PSNR of 21.5 dB, keypoint error of 1.5 px",
        gpu=_LARGE,
    ),
    Stage("pocket-animatex", f"{_METHODS}.animatex.clip_stage", 2, "flicker of 1.3 times the truth's"),
    Stage("line-decoder", f"{_HERE}.pocket_decoder", 0.3, "line drawings' PSNR of 25 dB"),
    Stage("verb-critic", f"{_HERE}.verb_critic", 0.2, "motion recognised in 90 %"),
    Stage("pocket-modelscope", f"{_HERE}.pocket_modelscope", 3, "motion as in the caption in 60 %", gpu=_CLIPS),
    _method(
        "flipsketch-lora",
        0.5,
        "error on held-out drawings lower than without the LoRA",
        _SKETCH,
        "pocket-modelscope",
        ("lora.safetensors", "flipsketch/lora.safetensors"),
    ),
    Stage(
        "anamodiff-keypoints",
        f"{_METHODS}.anamodiff.keypoint_stage",
        0.5,
        "keypoint error of 4 px, 8 px in an unseen style",
    ),
    Stage("anamodiff-lofnet", f"{_METHODS}.anamodiff.lofnet_stage", 0.7, "flow error of 2 px"),
    Stage(
        "pocket-animatediff",
        f"{_HERE}.pocket_animatediff",
        1.5,
        "motion as in the caption in 40 %, attention along time not uniform",
        ("--told",),
        gpu=_CLIPS,
    ),
    Stage("pocket-looks", f"{_HERE}.pocket_looks", 0.5, "characters of one kind told apart in 95 %"),
    Stage(
        "pocket-maps",
        f"{_HERE}.pocket_maps",
        1.2,
        "mask IoU of 0.9",
        ("--steps", "1700", "--muon", "--settings", "easy", "full", "wild"),
    ),
    _method(
        "pocket-animatex-mamba",
        1.3,
        "no worse than attention after as many steps",
        f"{_TWIN} train.temporal=mamba",
        "pocket-animatex",
        ("compact", "pocket-animatex-mamba"),
    ),
    _method(
        "animatex-attention-twin",
        1.3,
        "a row to compare with Mamba's",
        f"{_TWIN} train.temporal=transformer",
        "pocket-animatex",
    ),
    _method(
        "animatex-ablations",
        1.5,
        "rows of the ledger: a significant difference without the indicator",
        _SMALL,
        "pocket-modelscope",
        variants=_ROWS,
        clips=_SMALL_CLIPS,
    ),
)
