"""Ghost: the driving clip's motion history as a fading tint over the reference, to see at a glance where motion goes.

Paper: Bobick and Davis, "The Recognition of Human Movement Using Temporal Templates", TPAMI 2001.
Code: this package.  Weights: none.
"""

from motionkit import MethodSpec, Requirement, Stage

SPEC = MethodSpec(
    name="ghost",
    title="Motion history",
    summary="Lays the driving clip's motion history over the reference as a fading tint.",
    paper_url="https://doi.org/10.1109/34.910878",
    citation="""@article{bobick2001recognition,
  title   = {The Recognition of Human Movement Using Temporal Templates},
  author  = {Bobick, Aaron F. and Davis, James W.},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2001}
}""",
    licence="Apache-2.0",
    transfer="motionkit_ghost.method:Ghost",
    config="motionkit_ghost.config:GhostConfig",
    requires=(Requirement("reference", "image to draw on"), Requirement("driving", "video of the motion")),
    stages=(Stage("prepare", ("driving",), ("decay", "threshold"), seeded=False),),
    conf="pkg://motionkit_ghost.conf",
    stochastic=False,
    year=2001,
)
