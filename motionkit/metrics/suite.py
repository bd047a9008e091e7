"""The default set: what every metric says about one video, and the facts that a table prints beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motionkit.media import from_frames, letterbox
from motionkit.metrics.colour import histogram_distance
from motionkit.metrics.fidelity import l1, masked_psnr, psnr, ssim, subject_mask
from motionkit.metrics.keypoints import keypoint_error, pck
from motionkit.metrics.temporal import motion_amount, motion_ratio, warping_error

MIN_SCORE = 0.3  # joints that the pose estimator is less sure of, in the true video, do not count
PCK_RADIUS = 0.05  # of the frame's longer side


@dataclass(frozen=True)
class Fact:
    """What a reader of a table needs to know about one column.

    Attributes:
        better: "higher", "lower", "one" when 1 is best, or "none" when no value is best by itself.
        needs: "nothing", "driving", "truth", "reference" or "prompt", beside the video.
    """

    name: str
    title: str
    unit: str
    span: str
    better: str
    needs: str
    meaning: str


FACTS: dict[str, Fact] = {
    fact.name: fact
    for fact in (
        Fact("psnr", "PSNR", "dB", "0 to 100", "higher", "truth", "Nearness to the true video, all pixels."),
        Fact(
            "subject_psnr",
            "Subject PSNR",
            "dB",
            "0 to 100",
            "higher",
            "truth",
            "The same, only where the true video differs from its border colour.",
        ),
        Fact("ssim", "SSIM", "", "-1 to 1", "higher", "truth", "Likeness of local structure to the true video."),
        Fact("l1", "L1", "", "0 to 1", "lower", "truth", "Mean absolute difference to the true video."),
        Fact(
            "motion_ratio_truth",
            "Motion / truth",
            "",
            "0 and up",
            "one",
            "truth",
            "Amount of frame-to-frame change over that of the true video; 0 is frozen, above 1 is too much.",
        ),
        Fact(
            "histogram_distance",
            "Colour distance",
            "",
            "0 to 1",
            "lower",
            "truth",
            "Earth mover's distance between the colour histograms of the video and the true one.",
        ),
        Fact(
            "keypoint_error",
            "Keypoint error",
            "px",
            "0 and up",
            "lower",
            "truth",
            "Mean distance of estimated joints to those estimated on the true video.",
        ),
        Fact(
            "pck",
            "PCK",
            "",
            "0 to 1",
            "higher",
            "truth",
            "Share of those joints within 5 % of the longer side of their true place.",
        ),
        Fact(
            "warping_error",
            "Warping error",
            "",
            "0 to 1",
            "none",
            "nothing",
            "Change of surfaces along their motion; 0 for a frozen video, so read it beside the motion.",
        ),
        Fact(
            "motion_ratio",
            "Motion / driving",
            "",
            "0 and up",
            "none",
            "driving",
            "Amount of frame-to-frame change over that of the driving video; 0 is frozen, and what is right depends on "
            "the two characters.",
        ),
        Fact(
            "motion_amount",
            "Motion",
            "",
            "0 to 1",
            "none",
            "nothing",
            "Mean difference between neighbouring frames; 0 is frozen, flicker counts too.",
        ),
        Fact(
            "reference_consistency",
            "Reference consistency",
            "",
            "-1 to 1",
            "higher",
            "reference",
            "Mean cosine between the reference and the frames after the first, by CLIP when its weights are on this "
            "machine, else by the sprite clip judge; a frozen video has 1.",
        ),
        Fact(
            "first_frame",
            "First frame",
            "",
            "-1 to 1",
            "none",
            "reference",
            "SSIM of the first frame to the reference: high where the method starts from the reference's own pose.",
        ),
        Fact(
            "motion_agreement",
            "Motion as told",
            "",
            "0 to 1",
            "higher",
            "prompt",
            "Probability that the sprite clip judge gives to the motion that the prompt names.",
        ),
        Fact(
            "kind_agreement",
            "Kind as told",
            "",
            "0 to 1",
            "higher",
            "prompt",
            "Probability that the sprite clip judge gives to the kind of character that the prompt names.",
        ),
    )
}


def measure(
    video: np.ndarray,
    driving: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    prompt: str = "",
) -> dict[str, float | None]:
    """Every metric of `FACTS` that can be had; None where one has no value on this video.

    Args:
        video, truth: (F, H, W, 3) uint8 of one shape.
        driving: (F, h, w, 3) uint8 with the same number of frames; only looked at when there is no truth.
        reference: (h, w, 3) uint8, the picture that the video should keep to.
        prompt: what was asked for; only motions and kinds of the sprite world are looked for in it.

    Raises:
        ValueError: shapes that do not go together.
    """
    moves = len(video) > 1
    values: dict[str, float | None] = {
        "warping_error": warping_error(video) if moves else None,
        "motion_amount": motion_amount(video) if moves else None,
    }
    if driving is not None and truth is None:
        values["motion_ratio"] = motion_ratio(video, driving) if moves else None
    if truth is not None:
        mask = subject_mask(truth)
        values |= {
            "psnr": psnr(video, truth),
            "subject_psnr": masked_psnr(video, truth, mask) if mask.any() else None,
            "ssim": ssim(video, truth) if min(video.shape[1:3]) >= 11 else None,
            "l1": l1(video, truth),
            "motion_ratio_truth": motion_ratio(video, truth) if moves else None,
            "histogram_distance": histogram_distance(video, truth),
            **joints(video, truth),
        }
    if reference is not None:
        values |= _kept(video, reference)
    values |= told(video, prompt)
    return {name: _finite(values[name]) for name in FACTS if name in values}


def _kept(video: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """How far the video keeps to its reference picture."""
    from motionkit.metrics import clipscorer, text_image

    side = (video.shape[1], video.shape[2])
    still = letterbox(from_frames(reference[None]), *side)[0].frames
    values: dict[str, float | None] = {"first_frame": ssim(video[:1], still) if min(side) >= 11 else None}
    if clipscorer.available() or text_image.available("clip"):
        ranked = text_image.rank_by_consistency(reference, [video])[0] if len(video) > 1 else [None]
        values["reference_consistency"] = ranked[0]
    return values


def told(video: np.ndarray, prompt: str) -> dict[str, float | None]:
    """What the sprite clip judge says of the prompt's words; nothing when it knows none of them."""
    from motionkit.metrics import clipscorer

    if not prompt or not clipscorer.available():
        return {}
    found = {
        "motion_agreement": clipscorer.motion_agreement(video, prompt),
        "kind_agreement": clipscorer.kind_agreement(video, prompt),
    }
    return {name: value for name, value in found.items() if value is not None}


def joints(video: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Keypoint metrics, when the pose estimator's weights are there."""
    from motionkit.metrics import pose

    if not pose.available():
        return {}
    found, wanted = _estimate(video), _estimate(truth)
    visible = wanted[..., 2] >= MIN_SCORE
    if not visible.any():
        return {"keypoint_error": None, "pck": None}
    radius = PCK_RADIUS * max(truth.shape[1:3])
    return {
        "keypoint_error": keypoint_error(found[..., :2], wanted[..., :2], visible),
        "pck": pck(found[..., :2], wanted[..., :2], radius, visible),
    }


def _estimate(video: np.ndarray) -> np.ndarray:
    """(F, K, 3): x and y in the video's pixels, and certainty; the estimator itself wants square frames."""
    from motionkit.metrics import pose

    side = max(video.shape[1:3])
    square, box = letterbox(from_frames(video), side, side)
    return pose.estimate(square.frames) - np.array([box.left, box.top, 0.0])


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
