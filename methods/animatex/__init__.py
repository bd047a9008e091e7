"""Animate-X: any character follows the poses of a driving video.

Paper: Tan et al., "Animate-X: Universal Character Image Animation with Enhanced Motion Representation",
arXiv 2410.10306 (ICLR 2025).
Authors' code: https://github.com/antgroup/animate-x (Apache-2.0, inference only); this is an independent implementation
(Apache-2.0).
Weights: the authors' checkpoint has a licence of its own (see its model card) and stands on parts of Stable Diffusion
2.1 (OpenRAIL++-M); the pocket weights were trained on motionkit's own sprites (Apache-2.0).

No prompt is read: the authors feed the empty one to their network, in training as in use.
"""

from __future__ import annotations

from motionkit.transfer import MethodSpec, Need, Requirement, Stage

_OTHER = "it has no inputs for poses and a reference: it needs Animate-X's network"

SPEC = MethodSpec(
    name="animatex",
    title="Animate-X",
    summary="Moves a character, human or not, by the skeletons and image features of a driving video.",
    paper_url="https://arxiv.org/abs/2410.10306",
    citation="""@inproceedings{tan2025animatex,
  title     = {Animate-X: Universal Character Image Animation with Enhanced Motion Representation},
  author    = {Tan, Shuai and Gong, Biao and Wang, Xiang and Zhang, Shiwei and Zheng, Dandan and Zheng, Ruobing and
               Zheng, Kecheng and Chen, Jingdong and Yang, Ming},
  booktitle = {International Conference on Learning Representations},
  year      = {2025},
  note      = {arXiv:2410.10306}
}""",
    licence="Apache-2.0 (independent implementation; the authors' code is Apache-2.0)",
    transfer="motionkit.methods.animatex.method:AnimateX",
    config="motionkit.methods.animatex.config:AnimateXSettings",
    requires=(
        Requirement("reference", "a picture of the character; the first frame of a video"),
        Requirement("driving", "the video whose motion the character follows"),
    ),
    uses=(Requirement("poses", "your own poses of the driving video, used instead of the estimator"),),
    backbones=("tiny-animatex", "tiny-animatex-mamba", "pocket-animatex", "pocket-animatex-mamba", "animatex"),
    default_backbone="pocket-animatex",
    refuses={family: _OTHER for family in ("sd", "sdxl", "modelscope", "animatediff", "animatediff-xl")},
    suits=(Need("family", ("animatex",), _OTHER),),
    demands="motionkit.methods.animatex.demands:demands",
    stages=(
        Stage(
            "prepare",
            ("reference", "driving", "poses"),
            ("pose", "align", "reference_pose", "nobody", "draw"),
            seeded=False,
        ),
    ),
    trainer="motionkit.methods.animatex.train:train",
    train_config="motionkit.methods.animatex.train_config:TrainOptions",
    status="reproducing",
    stride=2,
    most={"animatex": 32},
    version="3",
    year=2025,
)
