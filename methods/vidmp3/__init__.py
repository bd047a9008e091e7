"""VIDMP3: the motion of a clip, given to another subject by prompt.

Paper: "VIDMP3: Video Editing by Representing Motion with Pose and Position Priors", arXiv 2510.12069.
Authors' code: none was published; this is an independent implementation (Apache-2.0).
Weights: AnimateDiff's (motion modules Apache-2.0, on Stable Diffusion: CreativeML Open RAIL). The paper tried no other;
the same layers are tuned in ModelScope's (CC BY-NC 4.0), and in Stable Diffusion's alone with the new layers along time
of Tune-A-Video. The estimators of masks, depth and correspondence have licences of their own (`motionkit/perception`).
The pocket weights were trained on our sprites (Apache-2.0).
"""

from __future__ import annotations

from motionkit.transfer import MethodSpec, Need, Requirement, Stage

_NO_TEXT = "it reads no prompt, so an edited prompt would change nothing"

SPEC = MethodSpec(
    name="vidmp3",
    title="VIDMP3",
    summary="Edits a clip by a sentence: another subject or style with the same motion, learnt as pose and position.",
    paper_url="https://arxiv.org/abs/2510.12069",
    citation="""@misc{vidmp3_2025,
  title         = {VIDMP3: Video Editing by Representing Motion with Pose and Position Priors},
  author        = {Mishra, Sandeep and Saha, Oindrila and Bovik, Alan C.},
  year          = {2025},
  eprint        = {2510.12069},
  archivePrefix = {arXiv}
}""",
    licence="Apache-2.0 (independent implementation; the authors published no code)",
    transfer="motionkit.methods.vidmp3.method:VidMP3",
    config="motionkit.methods.vidmp3.config:VidMP3Config",
    requires=(
        Requirement("driving", "the video to edit; its motion stays"),
        Requirement("prompt", "what the edited video shows, such as 'a bulldog on roller blades on a road'"),
    ),
    uses=(
        Requirement("source_prompt", "what the driving video shows, such as 'a silver jeep on a road'"),
        Requirement("negative_prompt", "what to avoid; used when sample.guidance is not 1"),
        Requirement("masks", "your own masks of the subject, used instead of the estimator"),
        Requirement("depth", "your own depth maps, larger = nearer"),
        Requirement("correspondence", "your own correspondence with the first frame: points or colours"),
    ),
    backbones=(
        "tiny-animatediff-sd15",
        "tiny-animatediff-sdxl",
        "pocket-animatediff",
        "animatediff-sd15",
        "animatediff-sdxl",
        "tiny-modelscope",
        "pocket-modelscope",
        "modelscope",
        "tiny-sd",
        "pocket-sd",
        "sd14",
        "sd15",
        "tiny-sdxl",
        "sdxl",
    ),
    default_backbone="pocket-animatediff",
    refuses={"animatex": _NO_TEXT},
    suits=(
        Need("reads_text", (True,), _NO_TEXT),
        Need("attends_in_time", (True,), "it has no temporal attention, which carries the motion"),
    ),
    demands="motionkit.methods.vidmp3.demands:demands",
    stages=(
        Stage(
            "prepare",
            ("driving", "masks", "depth", "correspondence"),
            ("subject", "subjects", "perceive", "masks", "depth", "correspondence", "maps"),
            seeded=False,
        ),
        Stage(
            "fit",
            ("driving", "source_prompt"),
            (
                "guide.inputs",
                "guide.strength",
                "guide.centre",
                "guide.heads",
                "guide.sites",
                "guide.blocks",
                "tune",
                "pack",
                "steps",
                "start_t",
                "invert_prompt",
            ),
        ),
    ),
    distinct_frames=True,
    stride=4,
    most={"preset=paper": 16},
    edits=True,
    status="reproducing",
    version="3",
    year=2025,
    samplers=("ddim", "ddim-leading", "ddim-trailing", "flow-euler"),
    sampler_reason="it inverts the source and must denoise through the same steps; a sampler that adds noise cannot",
)
