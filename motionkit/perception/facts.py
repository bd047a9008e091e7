"""Is a picture a line drawing? Decided by what can be measured: ink, paper, stroke width, length, colour, greys."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from motionkit.perception.ink import Ink, ridge

# Bounds of a line drawing; each one is broken by some kind of other picture (tests/perception/test_facts.py).
MOST_INK = 0.35  # share of the picture
MOST_GREYS = 0.10  # share of the picture that is neither ink nor paper
MOST_FILL = 0.06  # share of coloured ground
LEAST_THIN = 0.5  # share of the ink that lies in strokes
THIN = 0.05  # a stroke is at most this wide, of the longer side
LEAST_LENGTH = 6.0  # strokes are this many times longer than wide
MOST_CROWDED = 0.5  # share of the picture within 1/128 of ink
MOST_UNSTEADY = 0.48  # spread of the strokes' darkness over its mean


@dataclass(frozen=True)
class LineFacts:
    """Measures of one picture.

    Attributes:
        ink: share of the picture that is ink.
        greys: share that is neither ink nor paper nor the soft edge between them.
        fill: share whose ground differs in colour from the paper.
        thin: share of the ink that lies in strokes at most 5 % of the picture wide.
        length: ink area over squared stroke width, weighted by area: how long strokes are for their width.
        stroke: median stroke width, share of the longer side.
        crowded: share of the picture within 1/128 of ink.
        unsteady: standard deviation over mean of the darkness along the middle of the strokes.
    """

    ink: float
    greys: float
    fill: float
    thin: float
    length: float
    stroke: float
    crowded: float
    unsteady: float

    @property
    def against(self) -> tuple[str, ...]:
        """Why it is not a line drawing; empty when it is one."""
        reasons = (
            (self.ink == 0, "no strokes"),
            (self.ink > MOST_INK, f"{self.ink:.0%} of it is dark"),
            (self.greys > MOST_GREYS, f"{self.greys:.0%} of it is grey, neither ink nor paper"),
            (self.fill > MOST_FILL, f"{self.fill:.0%} of it is coloured areas"),
            (self.thin < LEAST_THIN, f"only {self.thin:.0%} of its ink is thin strokes"),
            (self.length < LEAST_LENGTH, "its marks are blobs, not strokes"),
            (self.crowded > MOST_CROWDED, "it has texture all over"),
            (self.unsteady > MOST_UNSTEADY, "its dark areas are too uneven for strokes"),
        )
        return tuple(text for broken, text in reasons if broken)

    @property
    def is_lines(self) -> bool:
        """Whether the picture is a line drawing."""
        return not self.against

    @property
    def why(self) -> str:
        """The decision in words."""
        return self.against[0] if self.against else f"thin strokes on plain paper, {self.ink:.1%} ink"

    def as_dict(self) -> dict[str, Any]:
        """The measures, rounded, for a manifest."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure(ink: Ink) -> LineFacts:
    """Measure what `find_ink` found."""
    mask, near = ink.mask, _near(ink.mask)
    if not mask.any():
        return LineFacts(0.0, _greys(ink, near), _fill(ink.page), 0.0, 0.0, 0.0, 0.0, 0.0)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    radius = 0.5 * THIN * max(mask.shape)
    core = inside > radius
    thick = mask & (cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) <= radius) if core.any() else core
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    lengths = areas / max(ink.width, 1.0) ** 2
    middle = ink.darkness[ridge(mask)[0]]
    return LineFacts(
        ink.fraction,
        _greys(ink, near),
        _fill(ink.page),
        1.0 - float(thick.sum() / mask.sum()),
        float((lengths * areas).sum() / areas.sum()),
        ink.width / max(mask.shape),
        float(near.mean()),
        float(middle.std() / max(float(middle.mean()), 1e-6)),
    )


def _near(mask: np.ndarray) -> np.ndarray:
    reach = 2 * round(max(mask.shape) / 128) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)


def _greys(ink: Ink, near: np.ndarray) -> float:
    """Share of shades that are neither paper nor ink, away from the soft edges of strokes."""
    return float(((ink.darkness > 0.08 + 4 * ink.noise) & ~near).mean())


def _fill(small: np.ndarray) -> float:
    """Share of wide areas whose colour is not the paper's in some light: light scales all channels alike."""
    wide = max(3, round(max(small.shape[:2]) / 18)) | 1
    ground = cv2.medianBlur(small, wide).astype(np.float32) + 8
    paper = np.median(ground.reshape(-1, 3), axis=0)  # (3,)
    ratio = ground / paper
    return float(((ratio.max(-1) - ratio.min(-1)) / ratio.max(-1) > 0.2).mean())
