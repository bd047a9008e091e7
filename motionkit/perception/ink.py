"""Ink on paper: even out the light, find the strokes, measure them, and draw them again at any size (OpenCV only).

"Darkness" is 0 on paper and 1 where no light comes back, in the channel that shows the stroke best, so that yellow ink
counts as ink. One `unit` is 1/256 of the longer side of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

LONGEST = 1600  # pictures are read at most this large
_FINEST = 2048  # the largest canvas that strokes are redrawn on
_PAPER_FLOOR = 0.4  # paper in shadow is no darker than this share of paper in light; anything darker is ink
_WIDEST = 32  # units; a darker region wider than this is shadow if it is soft, and a fill if it is dark


@dataclass(frozen=True)
class Ink:
    """What was found on the paper.

    Attributes:
        mask: (H, W) bool, True on ink, at the canvas size.
        darkness: (H, W) float32 in [0, 1], at the canvas size.
        width: median stroke width, canvas pixels; 0 without ink.
        inverted: the strokes were lighter than their ground.
        noise: standard deviation of the paper's darkness.
        depth: typical darkness of a stroke.
        unevenness: how much of its light the paper lost at its darkest place, 0 to 1.
        margin: share of the picture taken off because it was a dark surface around the paper.
    """

    mask: np.ndarray
    darkness: np.ndarray
    width: float
    inverted: bool
    noise: float
    depth: float
    unevenness: float
    margin: float

    @property
    def fraction(self) -> float:
        """Share of the picture that is ink."""
        return float(self.mask.mean())


def shrink(frame: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """(H, W, 3) uint8 with its longer side at most `longest`, by area averages."""
    scale = longest / max(frame.shape[:2])
    if scale >= 1:
        return frame
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def find_ink(frame: np.ndarray, finest: int = 256) -> Ink:
    """Find the strokes of a drawing under any light.

    Args:
        frame: (H, W, 3) uint8 RGB.
        finest: longer side at which the strokes will be redrawn; the canvas is up to four times as fine.
    """
    frame = shrink(frame)
    inverted = is_inverted(frame)
    darkness, unevenness = flatten(255 - frame if inverted else frame)
    noise = _noise(darkness)
    if noise > 0.012:  # a camera's grain; clean scans and digital drawings keep every pixel
        darkness = cv2.GaussianBlur(darkness, (0, 0), 1.0 if max(frame.shape[:2]) >= 384 else 0.6)
        noise = _noise(darkness)
    longest = max(frame.shape[:2])
    canvas = max(longest, min(4 * finest, _FINEST))
    if canvas > longest:
        height, width = (max(1, round(side * canvas / longest)) for side in frame.shape[:2])
        darkness = cv2.resize(darkness, (width, height), interpolation=cv2.INTER_LINEAR)
    mask, depth = _strokes(darkness, noise, canvas / longest)
    mask, margin = _without_surroundings(mask)
    mask = _without_specks(mask, noise)
    return Ink(mask, darkness, stroke_width(mask), inverted, noise, depth, unevenness, margin)


def is_inverted(frame: np.ndarray) -> bool:
    """Whether strokes are lighter than their ground (chalk on a board)."""
    grey = cv2.cvtColor(shrink(frame, 256), cv2.COLOR_RGB2GRAY)
    if np.median(grey) >= 150:
        return False
    size = min(51, (min(grey.shape) - 1) | 1)
    ground = cv2.medianBlur(grey, max(3, size)).astype(np.int16)
    over = grey.astype(np.int16) - ground
    lighter, darker = (float(np.maximum(side - 12, 0).sum()) for side in (over, -over))
    return lighter > 1.5 * darker


def flatten(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """Divide the picture by its paper, which a closing wider than any stroke finds.

    Returns:
        darkness (H, W) float32 in [0, 1] and the unevenness of the light, 0 to 1.
    """
    small = shrink(frame, 256)
    small = cv2.medianBlur(small, 3)
    wide = max(3, round(_WIDEST * max(small.shape[:2]) / 256)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)
    light = np.percentile(paper.reshape(-1, 3), 90, axis=0)  # (3,)
    paper = cv2.GaussianBlur(paper.astype(np.float32), (0, 0), 1.5)
    uneven = 1.0 - float(np.percentile((paper / light.clip(1)).min(-1), 2))
    paper = np.maximum(paper, _PAPER_FLOOR * light).clip(1).astype(np.float32)
    paper = cv2.resize(paper, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_LINEAR)
    darkness = (1.0 - frame.astype(np.float32) / paper).max(-1)  # (H, W)
    darkness -= float(np.median(darkness))  # the closing sits on top of the paper's grain
    return darkness.clip(0, 1), float(np.clip(uneven, 0, 1))


def _noise(darkness: np.ndarray) -> float:
    """Robust standard deviation of the grain: half of the pixels at least are paper."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6  # Immerkaer 1996
    fine = np.abs(cv2.filter2D(darkness, -1, kernel))
    some = fine[fine > 0]  # clipping at zero hides half of the grain
    return float(np.median(some)) / 0.6745 if len(some) > 0.3 * fine.size else 0.0


def _strokes(darkness: np.ndarray, noise: float, upscale: float) -> tuple[np.ndarray, float]:
    """Pixels over half of their stroke's own darkness, in strokes that have a clearly dark place."""
    strongest = darkness[darkness > max(0.08, 6 * noise)]
    if len(strongest) < 2e-5 * darkness.size:
        return np.zeros(darkness.shape, bool), 0.0
    depth = float(np.percentile(strongest, 75))
    high, low = max(0.05 + 4 * noise, 0.35 * depth), max(0.03 + 2.5 * noise, 0.15 * depth)
    reach = max(3, round(max(2.0 * upscale, max(darkness.shape) / 256)) * 2 + 1)
    peak = cv2.dilate(darkness, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    weak = ((darkness > 0.5 * peak) & (darkness > low)).astype(np.uint8)
    count, labels = cv2.connectedComponents(weak, connectivity=8)
    sure = np.zeros(count, bool)
    sure[np.unique(labels[(darkness > high) & (weak > 0)])] = True
    sure[0] = False
    return sure[labels], depth


def _without_surroundings(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Take off what is not a stroke but the table around the sheet: dark, wide, and touching the frame."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    far = 0.04 * max(mask.shape)
    core = inside > far
    if not core.any():
        return mask, 0.0
    wide = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) <= far + 2
    wide &= mask
    count, labels = cv2.connectedComponents(wide.astype(np.uint8), connectivity=8)
    edge = np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    taken = np.isin(labels, edge[edge > 0])
    if not taken.any():
        return mask, 0.0
    around = cv2.dilate(taken.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(2, mask.shape[1] // 128))
    return mask & ~around.astype(bool), float(taken.mean())


def _without_specks(mask: np.ndarray, noise: float) -> np.ndarray:
    """Take off dust: components much smaller than a stroke is wide, and in grainy pictures all tiny ones."""
    if not mask.any():
        return mask
    width = stroke_width(mask)
    least = max(3.0, 0.3 * width * width, (max(mask.shape) / 200) ** 2 if noise > 0.008 else 0.0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    return keep[labels]


def ridge(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(where, inside): the middle of every stroke (H, W) bool, and the distance of each pixel to the ground."""
    inside = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)  # (H+2, W+2)
    top = cv2.dilate(inside, np.ones((3, 3), np.uint8))
    where = (inside > 0) & (inside >= top - 0.6)  # a slope rises by at least 0.9 a pixel, a ridge by at most a half
    return where[1:-1, 1:-1], inside[1:-1, 1:-1]


def stroke_width(mask: np.ndarray) -> float:
    """Median width of the strokes, pixels; 0 without any."""
    where, inside = ridge(mask)
    return float(np.median(2 * inside[where] - 1).clip(1)) if where.any() else 0.0


def redraw(mask: np.ndarray, height: int, width: int, thickness: float | None, least: float) -> np.ndarray:
    """The strokes at another size, black on white with smooth edges, none too thin to be seen.

    Args:
        mask: (H, W) bool, True on ink.
        height, width: of the result, pixels; the aspect of the mask, to rounding.
        thickness: every stroke this wide, in pixels of the result; filled areas stay filled. None keeps the widths.
        least: with thickness None, strokes narrower than this many pixels are drawn this wide.

    Returns:
        (height, width, 3) uint8.
    """
    scale = max(mask.shape) / max(height, width)
    where, inside = ridge(mask)
    if thickness is None:
        ink = mask | _discs(where, 0.5 * least * scale)
    else:
        radius = 0.5 * thickness * scale
        own = 0.5 * stroke_width(mask)
        filled = _discs(inside > 2.0 * own + 1, 2.0 * own + 1) & mask if own else mask
        ink = _discs(where, radius) | filled
    small = cv2.resize(ink.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    grey = np.rint(255 * (1 - small)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)  # (height, width, 3)


def _discs(where: np.ndarray, radius: float) -> np.ndarray:
    """All pixels within `radius` of a marked one."""
    if not where.any():
        return where
    return cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, 5) <= max(0.0, radius - 0.5)
