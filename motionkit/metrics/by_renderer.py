"""Measures against what only a renderer knows of a true clip: where its subject is, and where its joints are.

Joints of the measured video are estimated by the sprite pose judge.
"""

from __future__ import annotations

import numpy as np

from motionkit.metrics.fidelity import masked_psnr
from motionkit.metrics.keypoints import keypoint_error
from motionkit.metrics.measure import Measure, Request
from motionkit.settings.fact import Fact

_GROWTH = 2  # pixels
_RENDERED, _POSE = "pixels", "sprite pose judge"


def grown(mask: np.ndarray, by: int = _GROWTH) -> np.ndarray:
    """Masks (F, H, W) with what lies `by` pixels up, down, left and right of them.

    >>> mask = np.zeros((1, 9, 9), bool); mask[0, 4, 4] = True
    >>> int(grown(mask).sum())
    5
    """
    out = mask.copy()
    for axis in (1, 2):
        out |= np.roll(mask, by, axis) | np.roll(mask, -by, axis)
    return out


def paths_alike(joints: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """How alike two motions are, whatever the bodies: correlation, and mean distance, of paths about their means.

    Args:
        joints, truth: (F, K, 2) pixels.

    Returns:
        Correlation over all joints, frames and axes, [-1, 1], 0 for a clip that does not move; distance in pixels.

    >>> path = np.arange(6.0).reshape(3, 1, 2)
    >>> alike, apart = paths_alike(path + 7, path)
    >>> round(alike, 6), apart, paths_alike(0 * path, path)[0]
    (1.0, 0.0, 0.0)
    """
    a, b = (path - path.mean(0) for path in (np.asarray(joints, np.float64), np.asarray(truth, np.float64)))
    power = float(np.sqrt((a**2).sum() * (b**2).sum()))
    alike = float((a * b).sum() / power) if power > 1e-6 else 0.0
    return alike, float(np.linalg.norm(a - b, axis=-1).mean())


def _subject(r: Request) -> float | None:
    mask = grown(r.known["mask"]())
    return masked_psnr(r.video, r.true, mask) if mask.any() else None


def _range(r: Request) -> float:
    spread = r.found_joints.std(0).mean()
    return float(spread / max(r.known["keypoints"]().std(0).mean(), 1e-6))


KNOWN_SUBJECT_PSNR = Measure(
    Fact(
        "known_subject_psnr",
        "PSNR on the subject",
        "dB",
        "0 to 100",
        "higher",
        "mask",
        "Nearness to the true video where the true subject is, and two pixels around it.",
        _RENDERED,
    ),
    _subject,
    column=None,
)
KNOWN_KEYPOINT_ERROR = Measure(
    Fact(
        "known_keypoint_error",
        "Distance to true joints",
        "px",
        "0 and up",
        "lower",
        "keypoints",
        "Mean distance of estimated joints to the true ones.",
        _POSE,
    ),
    lambda r: keypoint_error(r.found_joints, r.known["keypoints"]()),
    judges=("pose",),
    column=None,
)
MOTION_RANGE = Measure(
    Fact(
        "motion_range",
        "Range of motion / truth",
        "",
        "0 and up",
        "one",
        "keypoints",
        "How far estimated joints spread over the clip, over the spread of the true ones.",
        _POSE,
    ),
    _range,
    judges=("pose",),
    column=None,
)
MOTION_MATCH = Measure(
    Fact(
        "motion_match",
        "Match with the driving motion",
        "",
        "-1 to 1",
        "higher",
        "driving_keypoints",
        "Correlation of the estimated joints' paths, each about its mean, with the driving subject's true ones; 0 for "
        "a video that does not move.",
        _POSE,
    ),
    lambda r: paths_alike(r.found_joints, r.known["driving_keypoints"]())[0],
    judges=("pose",),
    column=None,
)
PATH_ERROR = Measure(
    Fact(
        "path_error",
        "Distance from the driving motion",
        "px",
        "0 and up",
        "lower",
        "driving_keypoints",
        "Mean distance between the estimated joints' paths and the driving subject's true ones, each about its mean.",
        _POSE,
    ),
    lambda r: paths_alike(r.found_joints, r.known["driving_keypoints"]())[1],
    judges=("pose",),
    column=None,
)
