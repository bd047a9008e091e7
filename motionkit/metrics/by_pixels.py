"""Measures made from pixels alone, including variants of older scripts with their mistakes (`as_published`)."""

from __future__ import annotations

from collections.abc import Callable

from motionkit.metrics import as_published
from motionkit.metrics.colour import histogram_distance
from motionkit.metrics.fidelity import l1, masked_psnr, psnr, ssim, subject_mask
from motionkit.metrics.measure import Measure, Request
from motionkit.metrics.temporal import motion_amount, motion_error, motion_ratio, warping_error
from motionkit.settings.fact import Fact

_BY = "pixels"
_SSIM_SIDE, _FLAT_SIDE = 11, 7  # pixels: the windows of SSIM and of the published variant


def _subject(r: Request) -> float | None:
    mask = subject_mask(r.true)
    return masked_psnr(r.video, r.true, mask) if mask.any() else None


def _ssim(r: Request) -> float | None:
    return ssim(r.video, r.true) if min(r.video.shape[1:3]) >= _SSIM_SIDE else None


def _first_frame(r: Request) -> float | None:
    return ssim(r.video[:1], r.still) if min(r.video.shape[1:3]) >= _SSIM_SIDE else None


def _ssim_gray(r: Request) -> float | None:
    return as_published.ssim_gray_resized(r.video, r.true) if min(r.true.shape[1:3]) >= _FLAT_SIDE else None


def _moving(call: Callable[[Request], float]) -> Callable[[Request], float | None]:
    return lambda r: call(r) if r.moves else None


PSNR = Measure(
    Fact("psnr", "PSNR", "dB", "0 to 100", "higher", "truth", "Similarity to the true video over all pixels.", _BY),
    lambda r: psnr(r.video, r.true),
    column=10,
)
SUBJECT_PSNR = Measure(
    Fact(
        "subject_psnr",
        "Subject PSNR",
        "dB",
        "0 to 100",
        "higher",
        "truth",
        "PSNR of the subject alone: where the true video differs from its border colour.",
        _BY,
    ),
    _subject,
    column=20,
)
SSIM = Measure(
    Fact("ssim", "SSIM", "", "-1 to 1", "higher", "truth", "Similarity of local structure to the true video.", _BY),
    _ssim,
    column=30,
)
L1 = Measure(
    Fact("l1", "L1", "", "0 to 1", "lower", "truth", "Mean absolute difference to the true video.", _BY),
    lambda r: l1(r.video, r.true),
    column=40,
)
MOTION_RATIO_TRUTH = Measure(
    Fact(
        "motion_ratio_truth",
        "Motion / truth",
        "",
        "0 and up",
        "one",
        "truth",
        "Amount of frame-to-frame change over that of the true video; 0 is frozen, above 1 is too much.",
        _BY,
    ),
    _moving(lambda r: motion_ratio(r.video, r.true)),
    column=50,
)
MOTION_ERROR = Measure(
    Fact(
        "motion_error",
        "Motion error",
        "",
        "0 to 2",
        "lower",
        "truth",
        "Mean difference between the two videos' frame-to-frame changes; a frozen video can score well.",
        _BY,
    ),
    _moving(lambda r: motion_error(r.video, r.true)),
    column=None,
)
HISTOGRAM_DISTANCE = Measure(
    Fact(
        "histogram_distance",
        "Colour distance",
        "",
        "0 to 1",
        "lower",
        "truth",
        "Earth mover's distance between the colour histograms of the video and the true one.",
        _BY,
    ),
    lambda r: histogram_distance(r.video, r.true),
    column=60,
)
WARPING_ERROR = Measure(
    Fact(
        "warping_error",
        "Warping error",
        "",
        "0 to 1",
        "none",
        "nothing",
        "Change of surfaces along their motion; 0 for a frozen video, so read it beside the motion.",
        _BY,
    ),
    _moving(lambda r: warping_error(r.video)),
    column=90,
)
MOTION_RATIO = Measure(
    Fact(
        "motion_ratio",
        "Motion / driving",
        "",
        "0 and up",
        "none",
        "driving",
        "Amount of frame-to-frame change over that of the driving video; 0 is frozen, and the right value depends on "
        "the two characters.",
        _BY,
    ),
    _moving(lambda r: motion_ratio(r.video, r.driven)),
    column=100,
)
MOTION_AMOUNT = Measure(
    Fact(
        "motion_amount",
        "Motion",
        "",
        "0 to 1",
        "none",
        "nothing",
        "Mean difference between neighbouring frames; 0 is frozen, flicker counts too.",
        _BY,
    ),
    _moving(lambda r: motion_amount(r.video)),
    column=110,
)
FIRST_FRAME = Measure(
    Fact(
        "first_frame",
        "First frame",
        "",
        "-1 to 1",
        "none",
        "reference",
        "SSIM of the first frame to the reference: high where the method starts from the reference's own pose.",
        _BY,
    ),
    _first_frame,
    column=130,
)
PSNR_UINT8WRAP = Measure(
    Fact(
        "psnr_uint8wrap",
        "PSNR (as published)",
        "dB",
        "0 to 100",
        "higher",
        "truth",
        "PSNR with differences that wrap around in eight bits: about 28 dB however bad.",
        _BY,
    ),
    lambda r: as_published.psnr_uint8wrap(r.video, r.true),
    column=None,
)
SSIM_GRAY_RESIZED = Measure(
    Fact(
        "ssim_gray_resized",
        "SSIM (as published)",
        "",
        "-1 to 1",
        "higher",
        "truth",
        "SSIM of grey pictures with a flat window of 7 pixels.",
        _BY,
    ),
    _ssim_gray,
    column=None,
)
L1_PER_HW = Measure(
    Fact(
        "l1_per_hw",
        "L1 (as published)",
        "",
        "0 and up",
        "lower",
        "truth",
        "Mean absolute difference in 0 to 255, divided by height times width: it depends on the size.",
        _BY,
    ),
    lambda r: as_published.l1_per_hw(r.video, r.true),
    column=None,
)
