"""Measures made by the shipped judges, small networks that know the sprite world only."""

from __future__ import annotations

from motionkit.metrics.measure import Measure, Request
from motionkit.settings.fact import Fact


def _consistency(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    return clipscorer.reference_consistency(r.video, r.kept) if r.moves else None


def _motion(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    return clipscorer.motion_agreement(r.video, r.prompt)


def _kind(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    return clipscorer.kind_agreement(r.video, r.prompt)


KEYPOINT_ERROR = Measure(
    Fact(
        "keypoint_error",
        "Keypoint error",
        "px",
        "0 and up",
        "lower",
        "truth",
        "Mean distance between the joints estimated on the video and on the true video.",
        "sprite pose judge",
    ),
    lambda r: r.joints["keypoint_error"],
    judges=("pose",),
    column=70,
)
PCK = Measure(
    Fact(
        "pck",
        "PCK",
        "",
        "0 to 1",
        "higher",
        "truth",
        "Share of these joints within 5 % of the frame's longer side of their place in the true video.",
        "sprite pose judge",
    ),
    lambda r: r.joints["pck"],
    judges=("pose",),
    column=80,
)
REFERENCE_CONSISTENCY = Measure(
    Fact(
        "reference_consistency",
        "Reference consistency",
        "",
        "-1 to 1",
        "higher",
        "reference",
        "Mean cosine between the reference's identity and that of the frames after the first, by the "
        "sprite clip judge; a frozen video has 1.",
        "sprite clip judge",
    ),
    _consistency,
    judges=("clipscorer",),
    column=120,
)
MOTION_AGREEMENT = Measure(
    Fact(
        "motion_agreement",
        "Motion matches prompt",
        "",
        "0 to 1",
        "higher",
        "prompt",
        "Probability that the sprite clip judge gives to the motion that the prompt names.",
        "sprite clip judge",
    ),
    _motion,
    judges=("clipscorer",),
    column=140,
    sparse=True,
)
KIND_AGREEMENT = Measure(
    Fact(
        "kind_agreement",
        "Kind matches prompt",
        "",
        "0 to 1",
        "higher",
        "prompt",
        "Probability that the sprite clip judge gives to the kind of character that the prompt names.",
        "sprite clip judge",
    ),
    _kind,
    judges=("clipscorer",),
    column=150,
    sparse=True,
)
