"""Measures made by large public networks, whose weights do not come with the package."""

from __future__ import annotations

from collections.abc import Callable

from motionkit.metrics.measure import Measure, Request
from motionkit.metrics.needs import NEEDS
from motionkit.settings.fact import Fact


def _lpips(net: str, unscaled: bool = False) -> Callable[[Request], float | None]:
    def call(r: Request) -> float | None:
        from motionkit.metrics import perceptual

        if min(r.video.shape[1:3]) < perceptual.LEAST_SIDE:
            return None
        return perceptual.lpips(r.video, r.true, net, r.weights.get(net), unscaled)

    return call


def _clip(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.clip_consistency(r.video, r.kept, r.weights.get("clip")) if r.moves else None


def _clip_steadiness(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.clip_steadiness(r.video, r.weights.get("clip")) if r.moves else None


def _clip_score(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.clip_score(r.video, r.prompt, r.weights.get("clip"))


def _xclip(r: Request) -> float | None:
    from motionkit.metrics import text_image

    return text_image.xclip_agreement(r.video, r.prompt, r.weights.get("xclip"))


LPIPS_VGG = Measure(
    Fact(
        "lpips_vgg",
        "LPIPS (VGG)",
        "",
        "0 and up",
        "lower",
        "truth",
        "Perceptual distance to the true video, by features of VGG-16.",
        NEEDS["vgg16"].title,
    ),
    _lpips("vgg16"),
    needs=("vgg16",),
    column=None,
)
LPIPS_ALEX = Measure(
    Fact(
        "lpips_alex",
        "LPIPS (Alex)",
        "",
        "0 and up",
        "lower",
        "truth",
        "Perceptual distance to the true video, by features of AlexNet, LPIPS's default.",
        NEEDS["alexnet"].title,
    ),
    _lpips("alexnet"),
    needs=("alexnet",),
    column=None,
)
CLIP_CONSISTENCY = Measure(
    Fact(
        "clip_consistency",
        "CLIP reference",
        "",
        "-1 to 1",
        "higher",
        "reference",
        "Mean CLIP cosine between the reference and the frames after the first; a frozen video has 1.",
        NEEDS["clip"].title,
    ),
    _clip,
    needs=("clip",),
    column=125,
)
CLIP_STEADINESS = Measure(
    Fact(
        "clip_steadiness",
        "CLIP steadiness",
        "",
        "-1 to 1",
        "none",
        "nothing",
        "Mean CLIP cosine between the first frame and the later ones; 1 for a frozen video.",
        NEEDS["clip"].title,
    ),
    _clip_steadiness,
    needs=("clip",),
    column=None,
)
CLIP_SCORE = Measure(
    Fact(
        "clip_score",
        "CLIPScore",
        "",
        "0 to 100",
        "higher",
        "prompt",
        "Similarity of the frames and the prompt, by CLIP.",
        NEEDS["clip"].title,
    ),
    _clip_score,
    needs=("clip",),
    column=None,
)
XCLIP_AGREEMENT = Measure(
    Fact(
        "xclip_agreement",
        "X-CLIP",
        "",
        "-1 to 1",
        "higher",
        "prompt",
        "Cosine similarity of the clip and the prompt, by X-CLIP.",
        NEEDS["xclip"].title,
    ),
    _xclip,
    needs=("xclip",),
    column=None,
)
LPIPS_VGG_01 = Measure(
    Fact(
        "lpips_vgg_01",
        "LPIPS (as published)",
        "",
        "0 and up",
        "lower",
        "truth",
        "LPIPS (VGG) fed [0, 1] where it expects [-1, 1]: smaller than LPIPS.",
        NEEDS["vgg16"].title,
    ),
    _lpips("vgg16", unscaled=True),
    needs=("vgg16",),
    column=None,
)
