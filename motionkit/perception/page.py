"""The page under a drawing: the sheet on its table, light ink on dark ground, and uneven light (OpenCV only).

"Darkness" is 0 on paper and 1 where no light returns, in the channel that shows the stroke best, so that yellow ink
counts as ink.
"""

from __future__ import annotations

import cv2
import numpy as np

LONGEST = 1600  # pixels; pictures are read at most this large
SMALL = 256  # pixels; light and sheets are found at this size
_WIDEST = 32  # pixels at that size; a wider dark region is not a stroke
_FLOOR = 0.2  # paper in shadow is no darker than this share of paper in light; what is darker is ink
_STRAIGHT = 0.95  # overlap of a sheet with the four-sided figure around it
_STEP = 1.25  # a sheet is this many times brighter than the table beside it


def shrink(frame: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    """(H, W[, C]) with its longer side at most `longest`, by area averages."""
    scale = longest / max(frame.shape[:2])
    if scale >= 1:
        return frame
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def page_of(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """The page alone, dark on light.

    Args:
        frame: (H, W, 3) uint8.

    Returns:
        page: (H, W, 3) uint8, inverted where strokes were the lighter ones, and beyond the sheet's edge continued with
            the paper's own colour.
        outside: (H, W) bool, what lies around the sheet and its very rim; None when the page fills the picture.
        inverted: whether light and dark were exchanged.
    """
    outside = _around_sheet(frame)
    page = frame if outside is None else _continued(frame, outside)
    inverted = is_inverted(page)
    if inverted:
        page = 255 - page
        if outside is None and (outside := _around_sheet(page)) is not None:
            page = _continued(page, outside)
    return page, outside, inverted


def _around_sheet(frame: np.ndarray) -> np.ndarray | None:
    """(H, W) bool of the table around a bright four-sided sheet, or None."""
    paper = _without_strokes(shrink(frame, SMALL))
    grey = cv2.cvtColor(paper, cv2.COLOR_RGB2GRAY)
    best, sheet = _STRAIGHT, None
    for level in np.unique(np.percentile(grey, np.arange(10, 80, 5)).astype(int)):
        found = _four_sided((grey > level).astype(np.uint8), grey)
        if found is not None and found[0] > best:
            best, sheet = found
    if sheet is None:
        return None
    rim = cv2.erode(sheet, np.ones((11, 11), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return cv2.resize(1 - rim, frame.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0


def _four_sided(bright: np.ndarray, grey: np.ndarray) -> tuple[float, np.ndarray] | None:
    """(overlap, (h, w) uint8 mask) when the largest bright region is a sheet with at least three of its sides in view.

    Shadows have one edge, rarely straight: that is why three sides are asked for.
    """
    height, width = bright.shape
    outlines, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return None
    hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
    corners = cv2.approxPolyDP(hull, 0.04 * cv2.arcLength(hull, True), True)[:, 0]  # (n, 2)
    if len(corners) != 4 or not 0.12 < cv2.contourArea(corners) / bright.size < 0.93:
        return None
    sheet = cv2.fillPoly(np.zeros_like(bright), [corners], 1)
    own = cv2.fillPoly(np.zeros_like(bright), [max(outlines, key=cv2.contourArea)], 1)
    overlap = float(np.minimum(sheet, own).sum() / max(1, np.maximum(sheet, own).sum()))
    middles = (corners + np.roll(corners, -1, 0)) / 2
    margin = 0.015 * max(height, width)
    inner = (middles > margin) & (middles < np.array([width, height]) - 1 - margin)
    ring = np.ones((9, 9), np.uint8)
    beside = cv2.dilate(sheet, ring) - sheet, sheet - cv2.erode(sheet, ring)
    if inner.all(-1).sum() < 3 or not all(band.any() for band in beside):
        return None
    darker, lighter = (float(np.median(grey[band > 0])) for band in beside)
    return (overlap, np.minimum(sheet, own)) if lighter > _STEP * max(darker, 1.0) else None


def _continued(frame: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The frame with its outside in the colour of the nearest paper."""
    small = shrink(frame, SMALL)
    away = cv2.resize(outside.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    paper = _without_strokes(small)
    _, labels = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colours[labels[away == 0]] = paper[away == 0]
    grown = cv2.resize(colours[labels], frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(outside[..., None], grown, frame)


def _without_strokes(small: np.ndarray) -> np.ndarray:
    """What is left of a small picture when everything dark and narrow is filled from its sides."""
    wide = max(3, round(_WIDEST * max(small.shape[:2]) / SMALL)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    return cv2.morphologyEx(cv2.medianBlur(small, 3), cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)


def is_inverted(frame: np.ndarray) -> bool:
    """Whether strokes are lighter than their ground (chalk on a board)."""
    grey = cv2.cvtColor(shrink(frame, SMALL), cv2.COLOR_RGB2GRAY)
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
    small = shrink(frame, SMALL)
    paper = _without_strokes(small)
    light = np.percentile(paper.reshape(-1, 3), 90, axis=0)  # (3,)
    paper = cv2.GaussianBlur(paper.astype(np.float32), (0, 0), 1.5)
    uneven = 1.0 - float(np.percentile((paper / light.clip(1)).min(-1), 2))
    paper = np.maximum(paper, _FLOOR * light).clip(1).astype(np.float32)
    paper = cv2.resize(paper, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_LINEAR)
    darkness = (1.0 - frame.astype(np.float32) / paper).max(-1)  # (H, W)
    darkness -= _on_top(darkness)
    return darkness.clip(0, 1), float(np.clip(uneven, 0, 1))


def _on_top(darkness: np.ndarray) -> np.ndarray:
    """How much too light the paper was estimated around each pixel: a closing sits on top of the paper's grain."""
    small = shrink(darkness, SMALL)
    levels = (small.clip(0, 0.25) * 1020).astype(np.uint8)
    side = min(41, (min(small.shape) - 1) | 1)
    offset = cv2.medianBlur(levels, max(3, side)).astype(np.float32) / 1020
    return cv2.resize(offset.clip(0, 0.08), darkness.shape[::-1], interpolation=cv2.INTER_LINEAR)
