"""Measures after VBench's definitions: by the public networks that it names, and under other names by stand-ins.

Huang et al. 2024, arXiv 2311.17982. The definitions are in `motionkit.metrics.steadiness`. A stand-in's figure is not
to be compared with the network's: `pocket_` features are of networks that know the sprite world alone, and `dis_` ones
of a classical flow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from motionkit.metrics import steadiness
from motionkit.metrics.measure import Measure, Request
from motionkit.metrics.needs import NEEDS
from motionkit.settings.fact import Fact

_DIS = "DIS optical flow"
_POCKET = " Stand-in for {}, not comparable with it."


def _dino(r: Request) -> np.ndarray:
    from motionkit.metrics import picture_features

    return picture_features.dino_embedding(r.video, r.weights.get("dino"))


def _clip(r: Request) -> np.ndarray:
    from motionkit.metrics import text_image

    return text_image.clip_embedding(r.video, r.weights.get("clip"))


def _scorer(r: Request) -> np.ndarray:
    from motionkit.metrics import pocket

    return pocket.frame_features(r.video)


def _dis(r: Request) -> steadiness.Flow:
    from motionkit.metrics import optical_flow

    return optical_flow.dis_flow


def _raft(r: Request) -> steadiness.Flow:
    from motionkit.metrics import optical_flow

    return partial(optical_flow.raft_flow, path=r.weights.get("raft"))


def _dino_consistency(r: Request) -> float | None:
    from motionkit.metrics import picture_features

    return picture_features.dino_consistency(r.video, r.kept, r.weights.get("dino")) if r.moves else None


def _consistent(features: Callable[[Request], np.ndarray]) -> Callable[[Request], float | None]:
    return lambda r: steadiness.feature_consistency(features(r)) if r.moves else None


def _smooth(flow: Callable[[Request], steadiness.Flow]) -> Callable[[Request], float | None]:
    return lambda r: steadiness.interpolation_smoothness(r.video, flow(r)) if len(r.video) > 2 else None


def _dynamic(flow: Callable[[Request], steadiness.Flow]) -> Callable[[Request], float | None]:
    return lambda r: float(steadiness.is_dynamic(r.video, flow(r))) if r.moves else None


def _flicker(flow: Callable[[Request], steadiness.Flow]) -> Callable[[Request], float | None]:
    def call(r: Request) -> float | None:
        return steadiness.temporal_flicker(r.video) if r.moves and steadiness.is_static(r.video, flow(r)) else None

    return call


def _measure(
    name: str,
    title: str,
    better: str,
    meaning: str,
    call: Callable[[Request], float | None],
    by: str = "",
    need: str = "",
    judge: str = "",
    of: str = "nothing",
    span: str = "0 to 1",
) -> Measure:
    fact = Fact(name, title, "", span, better, of, meaning, by or NEEDS[need].title)
    judges, needs = (judge,) if judge else (), (need,) if need else ()
    return Measure(fact, call, judges=judges, needs=needs, column=None)


_SUBJECT = "Mean cosine of each frame's features with the first frame's and the previous one's; a frozen video has 1."
_SMOOTH = (
    "How near every second frame is to one made from its neighbours by their optical flow, where VBench takes AMT."
)
_MOVES = (
    "1 for a clip whose fastest twentieth moves far in at least a quarter of its frames, else 0; the mean is a share."
)
_FLICKER = "1 less the mean difference of neighbouring frames, on clips that stand still; none on others."

DINO_CONSISTENCY = _measure(
    "dino_consistency",
    "DINO reference",
    "higher",
    "Mean DINO cosine between the reference and the frames after the first; a frozen video has 1.",
    _dino_consistency,
    need="dino",
    of="reference",
    span="-1 to 1",
)
SUBJECT_CONSISTENCY = _measure(
    "subject_consistency", "Subject consistency", "higher", _SUBJECT, _consistent(_dino), need="dino"
)
POCKET_SUBJECT_CONSISTENCY = _measure(
    "pocket_subject_consistency",
    "Subject consistency (pocket)",
    "higher",
    _SUBJECT + _POCKET.format("DINO"),
    _consistent(lambda r: r.identities),
    by="sprite clip judge",
    judge="clipscorer",
)
BACKGROUND_CONSISTENCY = _measure(
    "background_consistency",
    "Background consistency",
    "higher",
    _SUBJECT + " CLIP sees the whole frame, the subject too.",
    _consistent(_clip),
    need="clip",
)
POCKET_BACKGROUND_CONSISTENCY = _measure(
    "pocket_background_consistency",
    "Background consistency (pocket)",
    "higher",
    _SUBJECT + _POCKET.format("CLIP"),
    _consistent(_scorer),
    by="sprite frame classifier",
    judge="scorer",
)
RAFT_MOTION_SMOOTHNESS = _measure(
    "raft_motion_smoothness", "Motion smoothness (RAFT)", "higher", _SMOOTH, _smooth(_raft), need="raft"
)
DIS_MOTION_SMOOTHNESS = _measure(
    "dis_motion_smoothness", "Motion smoothness (DIS)", "higher", _SMOOTH, _smooth(_dis), by=_DIS
)
DYNAMIC_DEGREE = _measure("dynamic_degree", "Dynamic degree", "none", _MOVES, _dynamic(_raft), need="raft")
DIS_DYNAMIC_DEGREE = _measure(
    "dis_dynamic_degree", "Dynamic degree (DIS)", "none", _MOVES + _POCKET.format("RAFT"), _dynamic(_dis), by=_DIS
)
TEMPORAL_FLICKER = _measure("temporal_flicker", "Temporal flicker", "higher", _FLICKER, _flicker(_raft), need="raft")
DIS_TEMPORAL_FLICKER = _measure(
    "dis_temporal_flicker",
    "Temporal flicker (DIS)",
    "higher",
    _FLICKER + " DIS tells which stand still, in place of RAFT.",
    _flicker(_dis),
    by=_DIS,
)
