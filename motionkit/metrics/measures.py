"""What can be measured on one video, by name: the fact that a table prints, the weights it needs, and the function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from motionkit.media import from_frames, letterbox
from motionkit.metrics import as_published, suite
from motionkit.metrics.colour import histogram_distance
from motionkit.metrics.fidelity import l1, masked_psnr, psnr, ssim, subject_mask
from motionkit.metrics.suite import FACTS, Fact
from motionkit.metrics.temporal import motion_amount, motion_error, motion_ratio, warping_error

Weights = Mapping[str, str]
_SSIM_SIDE = 11


@dataclass(frozen=True)
class Request:
    """One video and what it is compared with; what several measures share is computed once.

    Attributes:
        video, truth: (F, H, W, 3) uint8 of one shape; driving: (F, h, w, 3) uint8; reference: (h, w, 3) uint8.
        weights: where the user keeps a set of weights, by its name in `motionkit.metrics.needs.NEEDS`.
    """

    video: np.ndarray
    driving: np.ndarray | None = None
    truth: np.ndarray | None = None
    reference: np.ndarray | None = None
    prompt: str = ""
    weights: Weights = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether "truth", "driving", "reference" or "prompt" was given; "nothing" always is."""
        return name == "nothing" or (bool(self.prompt) if name == "prompt" else getattr(self, name) is not None)

    @property
    def moves(self) -> bool:
        """Whether there are two frames to compare."""
        return len(self.video) > 1

    @property
    def true(self) -> np.ndarray:
        """The true video, of a measure that needs it."""
        assert self.truth is not None
        return self.truth

    @property
    def still(self) -> np.ndarray:
        """The reference at the size of the video: (1, H, W, 3) uint8, letterboxed."""
        assert self.reference is not None
        return letterbox(from_frames(self.reference[None]), *self.video.shape[1:3])[0].frames

    @cached_property
    def joints(self) -> dict[str, float | None]:
        """Keypoint error and PCK by one look of the pose judge."""
        return suite.joints(self.video, self.true)

    @cached_property
    def told(self) -> dict[str, float | None]:
        """What the sprite clip judge says of the prompt's words."""
        return suite.told(self.video, self.prompt)


@dataclass(frozen=True)
class Measure:
    """One column: its fact, its function (None: no value on this video), and the weights it stands on.

    Attributes:
        judges: shipped networks of the sprite world that it is made by (their bytes are part of a protocol's hash).
        needs: names in `motionkit.metrics.needs.NEEDS`, weights that do not come with the package.
    """

    fact: Fact
    call: Callable[[Request], float | None]
    judges: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _subject(r: Request) -> float | None:
    mask = subject_mask(r.true)
    return masked_psnr(r.video, r.true, mask) if mask.any() else None


def _ssim(r: Request) -> float | None:
    return ssim(r.video, r.true) if min(r.video.shape[1:3]) >= _SSIM_SIDE else None


def _first_frame(r: Request) -> float | None:
    return ssim(r.video[:1], r.still) if min(r.video.shape[1:3]) >= _SSIM_SIDE else None


def _consistency(r: Request) -> float | None:
    from motionkit.metrics import clipscorer

    assert r.reference is not None
    return clipscorer.reference_consistency(r.video, r.reference) if r.moves else None


def _moving(call: Callable[[Request], float]) -> Callable[[Request], float | None]:
    return lambda r: call(r) if r.moves else None


_SPRITE_CONSISTENCY = Fact(
    "reference_consistency",
    "Reference consistency",
    "",
    "-1 to 1",
    "higher",
    "reference",
    "Mean cosine between the reference's identity and that of the frames after the first, by the sprite clip judge; a "
    "frozen video has 1.",
)
_MOTION_ERROR = Fact(
    "motion_error",
    "Motion error",
    "",
    "0 to 2",
    "lower",
    "truth",
    "Mean difference between the two videos' frame-to-frame changes; a frozen video can score well.",
)

OWN: dict[str, Measure] = {
    "psnr": Measure(FACTS["psnr"], lambda r: psnr(r.video, r.true)),
    "subject_psnr": Measure(FACTS["subject_psnr"], _subject),
    "ssim": Measure(FACTS["ssim"], _ssim),
    "l1": Measure(FACTS["l1"], lambda r: l1(r.video, r.true)),
    "motion_ratio_truth": Measure(FACTS["motion_ratio_truth"], _moving(lambda r: motion_ratio(r.video, r.true))),
    "motion_error": Measure(_MOTION_ERROR, _moving(lambda r: motion_error(r.video, r.true))),
    "histogram_distance": Measure(FACTS["histogram_distance"], lambda r: histogram_distance(r.video, r.true)),
    "keypoint_error": Measure(FACTS["keypoint_error"], lambda r: r.joints.get("keypoint_error"), ("pose",)),
    "pck": Measure(FACTS["pck"], lambda r: r.joints.get("pck"), ("pose",)),
    "warping_error": Measure(FACTS["warping_error"], _moving(lambda r: warping_error(r.video))),
    "motion_ratio": Measure(FACTS["motion_ratio"], _moving(lambda r: motion_ratio(r.video, r.driving))),  # type: ignore[arg-type]
    "motion_amount": Measure(FACTS["motion_amount"], _moving(lambda r: motion_amount(r.video))),
    "reference_consistency": Measure(_SPRITE_CONSISTENCY, _consistency, ("clipscorer",)),
    "first_frame": Measure(FACTS["first_frame"], _first_frame),
    "motion_agreement": Measure(FACTS["motion_agreement"], lambda r: r.told.get("motion_agreement"), ("clipscorer",)),
    "kind_agreement": Measure(FACTS["kind_agreement"], lambda r: r.told.get("kind_agreement"), ("clipscorer",)),
}


def _lpips(net: str, unscaled: bool = False) -> Callable[[Request], float | None]:
    def call(r: Request) -> float | None:
        from motionkit.metrics import perceptual

        if min(r.video.shape[1:3]) < perceptual.LEAST_SIDE:
            return None
        return perceptual.lpips(r.video, r.true, net, r.weights.get(net), unscaled)

    return call


def _clip(r: Request) -> float | None:
    from motionkit.metrics import text_image

    assert r.reference is not None
    return text_image.clip_consistency(r.video, r.reference, r.weights.get("clip")) if r.moves else None


def _clip_steadiness(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.clip_steadiness(r.video, r.weights.get("clip")) if r.moves else None


def _clip_score(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.clip_score(r.video, r.prompt, r.weights.get("clip"))


def _xclip(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.xclip_agreement(r.video, r.prompt, r.weights.get("xclip"))


LARGE: dict[str, Measure] = {
    "lpips_vgg": Measure(
        Fact("lpips_vgg", "LPIPS (VGG)", "", "0 and up", "lower", "truth", "Distance to the truth in VGG-16."),
        _lpips("vgg16"),
        needs=("vgg16",),
    ),
    "lpips_alex": Measure(
        Fact("lpips_alex", "LPIPS (Alex)", "", "0 and up", "lower", "truth", "The same in AlexNet, its default."),
        _lpips("alexnet"),
        needs=("alexnet",),
    ),
    "clip_consistency": Measure(
        Fact(
            "clip_consistency",
            "CLIP reference",
            "",
            "-1 to 1",
            "higher",
            "reference",
            "Mean CLIP cosine between the reference and the frames after the first; a frozen video has 1.",
        ),
        _clip,
        needs=("clip",),
    ),
    "clip_steadiness": Measure(
        Fact(
            "clip_steadiness",
            "CLIP steadiness",
            "",
            "-1 to 1",
            "none",
            "nothing",
            "Mean CLIP cosine between the first frame and the later ones; 1 for a frozen video.",
        ),
        _clip_steadiness,
        needs=("clip",),
    ),
    "clip_score": Measure(
        Fact("clip_score", "CLIPScore", "", "0 to 100", "higher", "prompt", "CLIP's agreement of frames and prompt."),
        _clip_score,
        needs=("clip",),
    ),
    "xclip_agreement": Measure(
        Fact("xclip_agreement", "X-CLIP", "", "-1 to 1", "higher", "prompt", "X-CLIP cosine of clip and prompt."),
        _xclip,
        needs=("xclip",),
    ),
}

# As DisCo's first release printed them, mistakes included: see `as_published`.
AS_PUBLISHED: dict[str, Measure] = {
    "psnr_uint8wrap": Measure(
        Fact(
            "psnr_uint8wrap",
            "PSNR (as published)",
            "dB",
            "0 to 100",
            "higher",
            "truth",
            "PSNR with differences that wrap around in eight bits: about 28 dB however bad.",
        ),
        lambda r: as_published.psnr_uint8wrap(r.video, r.true),
    ),
    "ssim_gray_resized": Measure(
        Fact(
            "ssim_gray_resized",
            "SSIM (as published)",
            "",
            "-1 to 1",
            "higher",
            "truth",
            "SSIM of grey pictures with a flat window of 7 pixels.",
        ),
        lambda r: as_published.ssim_gray_resized(r.video, r.true) if min(r.true.shape[1:3]) >= 7 else None,
    ),
    "l1_per_hw": Measure(
        Fact(
            "l1_per_hw",
            "L1 (as published)",
            "",
            "0 and up",
            "lower",
            "truth",
            "Mean absolute difference in 0 to 255, divided by height times width: it depends on the size.",
        ),
        lambda r: as_published.l1_per_hw(r.video, r.true),
    ),
    "lpips_vgg_01": Measure(
        Fact(
            "lpips_vgg_01",
            "LPIPS (as published)",
            "",
            "0 and up",
            "lower",
            "truth",
            "LPIPS (VGG) fed [0, 1] where it expects [-1, 1]: smaller than LPIPS.",
        ),
        _lpips("vgg16", unscaled=True),
        needs=("vgg16",),
    ),
}

MEASURES: dict[str, Measure] = OWN | LARGE | AS_PUBLISHED
