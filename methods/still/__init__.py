"""Still: repeats the reference frame, without any motion; the lowest baseline of every comparison.

Paper: none.  Code: motionkit.  Weights: none.
"""

from __future__ import annotations

from motionkit.transfer import MethodSpec, Requirement

SPEC = MethodSpec(
    name="still",
    title="Still",
    summary="Repeats the reference's first frame: the baseline that any transfer must beat.",
    paper_url="",
    citation="""@software{motionkit,
  title  = {motionkit: motion transfer methods behind one contract},
  author = {{The motionkit authors}},
  year   = {2026}
}""",
    licence="Apache-2.0",
    transfer="motionkit.methods.still.method:Still",
    config="motionkit.methods.still.config:StillConfig",
    requires=(Requirement("reference", "image or video of the character"),),
    stochastic=False,
    year=2026,
)
