"""The metrics of a set of videos against a set of true ones, by name: figures, intervals, and why one is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from motionkit.metrics.frechet import Distance, energy_distance, frechet_distance, measured
from motionkit.metrics.needs import NEEDS
from motionkit.settings.fact import Fact

Videos = Sequence[np.ndarray]
Features = Callable[[np.ndarray, Mapping[str, Any], Mapping[str, str]], np.ndarray]


@dataclass(frozen=True)
class SetFigure:
    """One figure of a whole set, or the reason why there is none.

    Attributes:
        value, low, high: the figure and its 95 % interval; None when it was not measured.
        n: how many clips each side had.
        skipped: the one line that says why there is no value; "" when there is one.
        note: what a reader has to know about it, such as the bias of a set of this size.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    skipped: str = ""
    note: str = ""


@dataclass(frozen=True)
class SetMeasure:
    """One figure of a set: its fact, the features it compares, and by which distance.

    Attributes:
        features: video (F, H, W, 3) uint8, settings, weights -> (k, D), one row for each thing that is counted.
        settings: name -> default; "least" is the fewest clips that it is made of, "frames" the fewest frames of a clip.
            "window", where a measure has it, cuts clips into that many frames, a new one every "stride"; 0 leaves them.
        judges: shipped networks of the sprite world that it is made by.
        needs: names in `motionkit.metrics.needs.NEEDS`, weights that do not come with the package.
        floor: the lowest possible value; None for none.
        counts: what "least" counts: "clips" or "frames".
    """

    fact: Fact
    features: Features
    distance: Distance = frechet_distance
    settings: dict[str, Any] = field(default_factory=lambda: {"least": 256, "frames": 1})
    judges: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    floor: float | None = 0.0
    counts: str = "clips"

    def call(
        self, videos: Videos, truths: Videos, settings: Mapping[str, Any], weights: Mapping[str, str]
    ) -> SetFigure:
        """The figure, or why there is none; nothing heavy loads before that is known.

        Args:
            videos, truths: each (F, H, W, 3) uint8, one for one.
        """
        counted = len(videos) if self.counts == "clips" else sum(map(len, videos))
        least = max(3, settings["least"]) if self.counts == "clips" else settings["least"]
        if counted < least or len(videos) < 3:
            told = f"; allow fewer with least.{self.fact.name}={max(3, counted)}" if len(videos) >= 3 else ""
            reason = f"{self.fact.title} of {counted} {self.counts} is not meaningful: it needs at least {least}{told}"
            return SetFigure(n=len(videos), skipped=reason)
        shortest = min(map(len, (*videos, *truths)))
        if shortest < settings["frames"]:
            reason = f"{self.fact.title} needs clips of at least {settings['frames']} frames, one has {shortest}"
            return SetFigure(n=len(videos), skipped=reason)
        one, two = (
            [np.concatenate([self.features(part, settings, weights) for part in _windows(v, settings)]) for v in side]
            for side in (videos, truths)
        )
        found = measured(self.distance, one, two, self.floor)
        null = found.null if abs(found.null) > 1e-9 else 0.0  # not the last bits of equal sums
        note = f"{null:.4g} is the mean for {len(videos)} clips without a difference (pairs exchanged at random)"
        return SetFigure(found.value, found.low, found.high, len(videos), note=note)


def _windows(video: np.ndarray, settings: Mapping[str, Any]) -> list[np.ndarray]:
    """A clip's parts of `window` frames, one every `stride`; the whole clip where no window is set."""
    length = settings.get("window") or len(video)
    return [video[i : i + length] for i in range(0, len(video) - length + 1, settings.get("stride") or 1)]


def _pocket_clip(video: np.ndarray, settings: Mapping[str, Any], weights: Mapping[str, str]) -> np.ndarray:
    from motionkit.metrics import pocket

    return pocket.clip_features(video)


def _pocket_frames(video: np.ndarray, settings: Mapping[str, Any], weights: Mapping[str, str]) -> np.ndarray:
    from motionkit.metrics import pocket

    return pocket.frame_features(video)


def _extracted(name: str, weights: str) -> Features:
    """Features by one of the public networks in `extractors`."""

    def call(video: np.ndarray, settings: Mapping[str, Any], given: Mapping[str, str]) -> np.ndarray:
        from motionkit.metrics import extractors

        return getattr(extractors, name)(video, given.get(weights))

    return call


_CLIPS: dict[str, Any] = {"least": 256, "frames": 10, "window": 0, "stride": 1}

SETS: dict[str, SetMeasure] = {
    "fvd": SetMeasure(
        Fact(
            "fvd",
            "FVD",
            "",
            "0 and up",
            "lower",
            "truth",
            "Fréchet distance of clips in the logits of I3D (Kinetics-400), each whole clip, or window, one vector.",
            NEEDS["i3d"].title,
        ),
        _extracted("i3d_features", "i3d"),
        settings=_CLIPS,
        needs=("i3d",),
    ),
    "fid_vid": SetMeasure(
        Fact(
            "fid_vid",
            "FID-VID",
            "",
            "0 and up",
            "lower",
            "truth",
            "Fréchet distance of clips in the features of a 3D ResNet-50 (Kinetics-400), mean of parts of 16 frames.",
            NEEDS["resnet3d"].title,
        ),
        _extracted("resnet3d_features", "resnet3d"),
        settings=_CLIPS,
        needs=("resnet3d",),
    ),
    "fid": SetMeasure(
        Fact(
            "fid",
            "FID",
            "",
            "0 and up",
            "lower",
            "truth",
            "Fréchet distance of single frames in the features of Inception-v3 (2015).",
            NEEDS["inception"].title,
        ),
        _extracted("inception_features", "inception"),
        settings={"least": 2048, "frames": 1},
        needs=("inception",),
        counts="frames",
    ),
    "pocket_fvd": SetMeasure(
        Fact(
            "pocket_fvd",
            "Pocket FVD",
            "",
            "0 and up",
            "lower",
            "truth",
            "Fréchet distance of clips in the features of the sprite clip judge (pocket: a small network of the sprite "
            "world; not FVD by I3D).",
            "sprite clip judge",
        ),
        _pocket_clip,
        settings={"least": 16, "frames": 4},
        judges=("clipscorer",),
    ),
    "pocket_energy": SetMeasure(
        Fact(
            "pocket_energy",
            "Pocket energy",
            "",
            "about 0 and up",
            "lower",
            "truth",
            "Energy distance of clips in the same features, without bias: comparable between sets of different size, "
            "and more reliable for few clips.",
            "sprite clip judge",
        ),
        _pocket_clip,
        energy_distance,
        settings={"least": 8, "frames": 4},
        judges=("clipscorer",),
        floor=None,
    ),
    "pocket_fid": SetMeasure(
        Fact(
            "pocket_fid",
            "Pocket FID",
            "",
            "0 and up",
            "lower",
            "truth",
            "Fréchet distance of single frames in the features of the sprite frame classifier (pocket: not FID by "
            "Inception).",
            "sprite frame classifier",
        ),
        _pocket_frames,
        settings={"least": 8, "frames": 1},
        judges=("scorer",),
    ),
}
