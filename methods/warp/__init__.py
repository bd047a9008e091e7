"""Warp: moves the reference's pixels along the driving clip's optical flow, without any diffusion.

Paper: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search", ECCV 2016, arXiv 1603.03590.
Code: the flow is OpenCV's (Apache-2.0).  Weights: none.
"""

from __future__ import annotations

from motionkit.transfer import MethodSpec, Requirement, Stage

SPEC = MethodSpec(
    name="warp",
    title="Optical-flow warp",
    summary="Moves the reference's pixels along the driving clip's optical flow; no diffusion, no knowledge of parts.",
    paper_url="https://arxiv.org/abs/1603.03590",
    citation="""@inproceedings{kroeger2016fast,
  title     = {Fast Optical Flow using Dense Inverse Search},
  author    = {Kroeger, Till and Timofte, Radu and Dai, Dengxin and Van Gool, Luc},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2016}
}""",
    licence="Apache-2.0 (flow by OpenCV, Apache-2.0)",
    transfer="motionkit.methods.warp.method:Warp",
    config="motionkit.methods.warp.config:WarpConfig",
    requires=(
        Requirement("reference", "image or video of the character; its first frame is moved"),
        Requirement("driving", "video of the motion"),
    ),
    stages=(Stage("prepare", ("driving",), ("flow", "path"), seeded=False),),
    stochastic=False,
    year=2016,
)
