"""AnaMoDiff: analogical motion transfer by warping a latent and denoising it with a tuned video UNet.

Paper: Tanveer et al., "AnaMoDiff: 2D Analogical Motion Diffusion via Disentangled Denoising", arXiv 2402.03549.
Authors' code: none was published; this is an independent implementation (Apache-2.0).
Weights: the pocket weights were trained on motionkit's own sprites (Apache-2.0).
"""

from __future__ import annotations

from motionkit.transfer import MethodSpec, Need, Requirement, Stage

_NO_TEXT = (
    "it is guided by a reference and skeletons and reads no prompt, but the tuning needs a prompt for the character"
)
_DDIM = "it inverts the source by DDIM and must denoise through the same steps"
_PICTURES = "it makes single pictures, and new temporal layers can only be added to SD 1.x's UNet"
_OTHER = "its tuning supports only the UNets of Stable Diffusion, AnimateDiff and ModelScope"

SPEC = MethodSpec(
    name="anamodiff",
    title="AnaMoDiff",
    summary="Warps one frame of the character along the driving motion and repaints it with a tuned video UNet.",
    paper_url="https://arxiv.org/abs/2402.03549",
    citation="""@article{tanveer2024anamodiff,
  title   = {AnaMoDiff: 2D Analogical Motion Diffusion via Disentangled Denoising},
  author  = {Tanveer, Maham and Wang, Yizhi and Wang, Ruiqi and Zhao, Nanxuan and Mahdavi-Amiri, Ali and Zhang, Hao},
  journal = {arXiv preprint arXiv:2402.03549},
  year    = {2024}
}""",
    licence="Apache-2.0 (independent implementation; the authors published no code)",
    transfer="motionkit.methods.anamodiff.method:AnaMoDiff",
    config="motionkit.methods.anamodiff.config:AnaMoDiffConfig",
    requires=(
        Requirement("reference", "image or video of the character"),
        Requirement("driving", "video of the motion"),
        Requirement("prompt", "a few words for the character, such as 'a green turtle'"),
    ),
    uses=(
        Requirement("negative_prompt", "used when sample.guidance is not 1; may be empty"),
        Requirement("keypoints", "your own keypoints of both clips (npz), used instead of the detector"),
    ),
    backbones=(
        "tiny-sd",
        "pocket-sd",
        "sd14",
        "sd15",
        "tiny-sdxl",
        "sdxl",
        "tiny-animatediff-sd15",
        "tiny-animatediff-sdxl",
        "pocket-animatediff",
        "animatediff-sd15",
        "animatediff-sdxl",
        "tiny-modelscope",
        "pocket-modelscope",
        "modelscope",
    ),
    default_backbone="pocket-sd",
    refuses={"animatex": _NO_TEXT},
    suits=(
        Need("predictions", ("epsilon", "v_prediction"), _DDIM),
        Need("reads_text", (True,), _NO_TEXT),
        Need("attends_in_time", (True,), _PICTURES),
        Need("unet_class", ("UNet2DConditionModel", "UNet3DConditionModel"), _OTHER),
    ),
    demands="motionkit.methods.anamodiff.demands:demands",
    stages=(
        Stage("prepare", ("reference", "driving", "keypoints"), ("weights", "source_frame", "adapt", "warp"), False),
        Stage("fit", ("reference", "driving", "prompt"), ("lora", "video")),
    ),
    trainer="motionkit.methods.anamodiff.train:train",
    train_config="motionkit.methods.anamodiff.train_config:TrainOptions",
    converter="motionkit.methods.anamodiff.convert:run",
    status="working",
    year=2024,
    version="2",
    samplers=("ddim", "ddim-leading", "ddim-trailing"),
    sampler_reason=_DDIM,
    any_sampler={"sample.start": "noised_warp"},
)
