"""FlipSketch: a drawing and a sentence become an animation of that drawing.

Paper: Bandyopadhyay and Song, "FlipSketch: Flipping Static Drawings to Text-Guided Sketch Animations",
arXiv 2411.10818 (CVPR 2025).
Authors' code: https://github.com/hmrishavbandy/FlipSketch (MIT); this is an independent implementation (Apache-2.0).
Weights: the authors' LoRA (MIT) stands on ModelScope's text-to-video model (CC BY-NC 4.0); the pocket weights were
trained on motionkit's own sprites (Apache-2.0).
"""

from __future__ import annotations

from motionkit.transfer import MethodSpec, Need, Requirement, Stage

_IMAGES = (
    "it makes single pictures, and a drawing cannot teach new temporal layers motion: it needs a text-to-video model"
)
_NO_TEXT = "it reads no prompt, but the prompt decides how the drawing moves, and it needs a driving video's skeletons"
_DDIM = "it inverts the drawing by DDIM and must denoise through the same steps"
_OTHER = "its attention to the drawing supports only AnimateDiff's and ModelScope's UNets"

SPEC = MethodSpec(
    name="flipsketch",
    title="FlipSketch",
    summary="Animates a drawing by a sentence: a text-to-video model whose attention refers back to the sketch.",
    paper_url="https://arxiv.org/abs/2411.10818",
    citation="""@inproceedings{bandyopadhyay2025flipsketch,
  title     = {FlipSketch: Flipping Static Drawings to Text-Guided Sketch Animations},
  author    = {Bandyopadhyay, Hmrishav and Song, Yi-Zhe},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2025},
  note      = {arXiv:2411.10818}
}""",
    licence="Apache-2.0 (independent implementation; the authors' code is MIT)",
    transfer="motionkit.methods.flipsketch.method:FlipSketch",
    config="motionkit.methods.flipsketch.config:FlipSketchConfig",
    requires=(
        Requirement("reference", "a drawing; the first frame of a video"),
        Requirement("prompt", "what the drawing does, such as 'a drawing of a horse walking'"),
    ),
    uses=(Requirement("negative_prompt", "what to avoid; empty is what the authors use"),),
    backbones=(
        "tiny-modelscope",
        "pocket-modelscope",
        "modelscope",
        "tiny-animatediff-sd15",
        "tiny-animatediff-sdxl",
        "pocket-animatediff",
        "animatediff-sd15",
        "animatediff-sdxl",
    ),
    default_backbone="pocket-modelscope",
    refuses={"sd": _IMAGES, "sdxl": _IMAGES, "animatex": _NO_TEXT},
    suits=(
        Need("predictions", ("epsilon", "v_prediction"), _DDIM),
        Need("reads_text", (True,), _NO_TEXT),
        Need("roles", ("temporal_self",), _IMAGES),
        Need("unet_class", ("UNet2DConditionModel", "UNet3DConditionModel"), _OTHER),
    ),
    demands="motionkit.methods.flipsketch.demands:demands",
    stages=(
        Stage(
            "prepare",
            ("reference", "negative_prompt"),
            (
                "sketch",
                "lora",
                "next_prompts",
                "sample.steps",
                "sample.guidance",
                "invert",
                "pin_first_frame",
                "align.fraction",
                "compose.fraction",
                "compose.first_frames",
                "compose.layers",
                "compose.reference_guidance",
                "store_mb",
            ),
            seeded=False,
        ),
    ),
    trainer="motionkit.methods.flipsketch.train:train",
    train_config="motionkit.methods.flipsketch.train_config:TrainOptions",
    status="working",
    version="3",
    mattes=True,
    year=2025,
    samplers=("ddim", "ddim-leading", "ddim-trailing"),
    sampler_reason=_DDIM,
)
