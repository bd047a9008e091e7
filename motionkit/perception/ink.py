"""Strokes on paper: find them, measure them, and draw them again at any size (OpenCV only)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from motionkit.perception.page import SMALL, flatten, page_of, shrink

_FINEST = 2048  # the largest canvas that strokes are redrawn on


@dataclass(frozen=True)
class Ink:
    """What was found on the paper.

    Attributes:
        page: (h, w, 3) uint8, the picture at 256 pixels, dark on light, without what lies around the sheet.
        mask: (H, W) bool, True on ink, at the canvas size.
        darkness: (H, W) float32 in [0, 1], at the canvas size.
        width: median stroke width, canvas pixels; 0 without ink.
        inverted: the strokes were lighter than their ground.
        noise: standard deviation of the paper's darkness.
        depth: typical darkness of a stroke.
        unevenness: how much of its light the paper lost at its darkest place, 0 to 1.
        margin: share of the picture that lies around the sheet of paper (a table) and was left out.
    """

    page: np.ndarray
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


def find_ink(frame: np.ndarray, finest: int = 256) -> Ink:
    """Find the strokes of a drawing under any light.

    Args:
        frame: (H, W, 3) uint8 RGB.
        finest: longer side at which the strokes will be redrawn; the canvas is up to four times as fine.
    """
    frame, outside, inverted = page_of(shrink(frame))
    darkness, unevenness = flatten(frame)
    noise = _noise(darkness)
    if noise > 0.012:  # a camera's grain; clean scans and digital drawings keep every pixel
        darkness = cv2.GaussianBlur(darkness, (0, 0), 1.0 if max(frame.shape[:2]) >= 384 else 0.6)
        noise = _noise(darkness)
    longest = max(frame.shape[:2])
    canvas = max(longest, min(4 * finest, _FINEST))
    if canvas > longest:
        height, width = (max(1, round(side * canvas / longest)) for side in frame.shape[:2])
        darkness = cv2.resize(darkness, (width, height), interpolation=cv2.INTER_LINEAR)
    if outside is not None:
        hidden = cv2.resize(outside.astype(np.uint8), darkness.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        darkness[hidden] = 0
    mask, depth = _strokes(darkness, noise, canvas / longest)
    if noise > 0 and unevenness > 0.2:
        mask = _without_corners(mask)
    mask = _without_specks(mask, noise)
    margin = float(outside.mean()) if outside is not None else 0.0
    page = shrink(frame, SMALL)
    return Ink(page, mask, darkness, stroke_width(mask), inverted, noise, depth, unevenness, margin)


def _noise(darkness: np.ndarray) -> float:
    """Standard deviation of the grain where it is largest (in shadow); most pixels of most blocks count as paper."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6  # Immerkaer 1996
    fine = np.abs(cv2.filter2D(darkness, -1, kernel))
    side = max(4, max(darkness.shape) // 32)
    rows, columns = darkness.shape[0] // side, darkness.shape[1] // side
    split = fine[: rows * side, : columns * side].reshape(rows, side, columns, side)  # (rows, side, columns, side)
    blocks = split.swapaxes(1, 2).reshape(rows * columns, -1)  # (blocks, side * side)
    grain = np.median(blocks, axis=1) / 0.6745
    return float(np.percentile(grain, 80)) if len(grain) else 0.0


def _strokes(darkness: np.ndarray, noise: float, upscale: float) -> tuple[np.ndarray, float]:
    """Pixels over half of their stroke's own darkness, in strokes that have a clearly dark place."""
    strongest = darkness[darkness > max(0.1, 6 * noise)]
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


def _without_corners(mask: np.ndarray) -> np.ndarray:
    """Take off corners of shadows, which the paper estimate cannot follow out of the picture: wide, at its edge."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    far = max(1.5 * stroke_width(mask), 0.006 * max(mask.shape))
    core = inside > far
    if not core.any():
        return mask
    wide = mask & _discs(core, 1.5 * far + 2)
    _, labels = cv2.connectedComponents(wide.astype(np.uint8), connectivity=8)
    edge = np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    return mask & ~np.isin(labels, edge[edge > 0])


def _without_specks(mask: np.ndarray, noise: float) -> np.ndarray:
    """Take off dust: components much smaller than a stroke is wide, and in grainy pictures all tiny ones."""
    if not mask.any():
        return mask
    width = stroke_width(mask)
    least = max(3.0, 0.3 * width * width, (max(mask.shape) / 200) ** 2 if noise > 0.008 else 0.0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least
    keep[0] = False
    span = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    if not keep.any() or span[keep].max() < 0.02 * max(mask.shape):  # nothing but dust
        keep[:] = False
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
    ink = _widened(mask, 0.5 * least * scale) if thickness is None else _normalised(mask, 0.5 * thickness * scale)
    small = cv2.resize(ink.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    grey = np.rint(255 * (1 - small)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)  # (height, width, 3)


def _widened(mask: np.ndarray, radius: float) -> np.ndarray:
    """The mask with its thin strokes drawn at least 2 * radius wide."""
    where, inside = ridge(mask)
    enough = inside > radius
    # The rim of a wide stroke has small ridges of its own; only what is away from every wide place is thin.
    thin = where & ~_discs(enough, 2 * radius + 1) if enough.any() else where
    return mask | _discs(thin, radius)


def _normalised(mask: np.ndarray, radius: float) -> np.ndarray:
    """All strokes 2 * radius wide; areas much wider than the median stroke stay as they are."""
    where, inside = ridge(mask)
    if not where.any():
        return mask
    own = 0.5 * stroke_width(mask)
    reach = 2 * round(own) + 3
    highest = cv2.dilate(inside, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    middle = where & (inside > 0.6 * highest)
    wide = 2.0 * own + 2
    return _discs(middle, radius) | (_discs(inside > wide, wide) & mask)


def _discs(where: np.ndarray, radius: float) -> np.ndarray:
    """All pixels within `radius` of a marked one."""
    if not where.any():
        return where
    return cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, 5) <= max(0.0, radius - 0.5)
