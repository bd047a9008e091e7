"""Measures of what the sprite clip judge sees: whether a video shows what was asked for, and stays who it is."""

from __future__ import annotations

from collections.abc import Callable

from motionkit.metrics.drawing import ink_overlap
from motionkit.metrics.measure import Measure, Request
from motionkit.settings.fact import Fact

EARLY = 4  # frames 1 to 3 are the early ones
_BY = "sprite clip judge"


def _named(r: Request, group: str) -> str | None:
    """The motion, kind or colour that the prompt names, among those that the judge knows."""
    from motionkit.metrics import clipscorer

    if group == "motion":
        return clipscorer.motion_in(r.prompt)
    return clipscorer.label_in(r.prompt, r.verdict.kind if group == "kind" else r.verdict.colour)


def _right(*groups: str) -> Callable[[Request], float | None]:
    """1 where the judge's first choice is what the prompt names, in each of the groups; None where it names none."""

    def call(r: Request) -> float | None:
        pairs = [(r.verdict.best(group), _named(r, group)) for group in groups]
        if any(said is None or named is None for said, named in pairs):
            return None
        return float(all(said == named for said, named in pairs))

    return call


def _source_kind(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    named = clipscorer.label_in(r.source_prompt, r.verdict.kind)
    return None if named is None else r.verdict.kind[named]


def _early(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    return clipscorer.reference_consistency(r.video, r.kept, 1, EARLY) if r.moves else None


def _steady(r: Request) -> float | None:
    faces = r.identities
    return float((faces[1:] * faces[:-1]).sum(-1).mean()) if r.moves else None


def _to_first(r: Request) -> float | None:
    return float((r.identities[1:] @ r.identities[0]).mean()) if r.moves else None


def _path(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    return clipscorer.joint_path(r.video) if r.moves else None


def _path_over_truth(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    whole = clipscorer.joint_path(r.true) if r.moves else 0.0
    return clipscorer.joint_path(r.video) / whole if whole else None


def _measure(
    name: str,
    title: str,
    needs: str,
    meaning: str,
    call: Callable[[Request], float | None],
    span: str = "0 to 1",
    better: str = "higher",
    by: str = _BY,
) -> Measure:
    fact = Fact(name, title, "", span, better, needs, meaning, by)
    return Measure(fact, call, judges=("clipscorer",) if by == _BY else (), column=None, sparse=True)


MOTION_RIGHT = _measure(
    "motion_right",
    "Motion right",
    "prompt",
    "1 where the judge sees the motion that the prompt names.",
    _right("motion"),
)
KIND_RIGHT = _measure(
    "kind_right", "Kind right", "prompt", "1 where the judge sees the kind that the prompt names.", _right("kind")
)
COLOUR_RIGHT = _measure(
    "colour_right",
    "Colour right",
    "prompt",
    "1 where the judge sees the colour that the prompt names.",
    _right("colour"),
)
BOTH_RIGHT = _measure(
    "both_right",
    "Kind and motion right",
    "prompt",
    "1 where the judge sees the kind and the motion that the prompt names.",
    _right("kind", "motion"),
)
SOURCE_KIND_AGREEMENT = _measure(
    "source_kind_agreement",
    "Kind of the source",
    "source_prompt",
    "Probability that the judge gives to the kind that the driving video shows: what was not edited away.",
    _source_kind,
    better="lower",
)
EARLY_CONSISTENCY = _measure(
    "early_consistency",
    "Early consistency",
    "reference",
    "Mean cosine between the reference's identity and that of frames 1 to 3.",
    _early,
    "-1 to 1",
)
STEADY_IDENTITY = _measure(
    "steady_identity",
    "Steady identity",
    "nothing",
    "Mean cosine of the identities of neighbouring frames; a frozen video has 1.",
    _steady,
    "-1 to 1",
)
FIRST_FRAME_IDENTITY = _measure(
    "first_frame_identity",
    "Identity of the first frame kept",
    "nothing",
    "Mean cosine of the first frame's identity and those of the others; a frozen video has 1.",
    _to_first,
    "-1 to 1",
)
JOINT_PATH = _measure(
    "joint_path",
    "Path of the joints",
    "nothing",
    "How far the joints that the judge sees travel from frame to frame, mean, in frame sides; flicker does not count.",
    _path,
    "0 and up",
    "none",
)
PATH_OVER_TRUTH = _measure(
    "path_over_truth",
    "Path / truth",
    "truth",
    "The path of the joints over that of the true video.",
    _path_over_truth,
    "0 and up",
    "one",
)
FIRST_FRAME_INK = _measure(
    "first_frame_ink",
    "Ink of the first frame",
    "reference",
    "F1 of the first frame's dark lines against those of the reference, a drawing.",
    lambda r: ink_overlap(r.video[:1], r.still),
    by="pixels",
)
