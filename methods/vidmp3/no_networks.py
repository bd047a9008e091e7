"""Masks, depth and correspondence without any network, for one subject that moves on a plain background.

The subject is what differs from the border's colour, its depth is its size (a subject that comes nearer grows), and
its points are followed by optical flow from frame to frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from motionkit.errors import UserError
from motionkit.media import border_colour
from motionkit.perception.flow import dense_flow

NEAR = 0.06  # a background pixel is within this of the border's colour in every channel (0 to 1)
PLAIN = 0.9  # a background is plain when this share of the border's pixels is that near


def segment(frames: np.ndarray) -> np.ndarray:
    """What is not background, (F, H, W) bool, of (F, H, W, 3) uint8.

    Raises:
        UserError: the background is not plain, or there is no subject.
    """
    away = np.abs(frames.astype(np.float32) - border_colour(frames).astype(np.float32)).max(-1) / 255  # (F,H,W)
    border = np.concatenate([away[:, [0, -1]].ravel(), away[:, :, [0, -1]].ravel()])
    if (border < NEAR).mean() < PLAIN:
        raise UserError("method.perceive=plain needs a plain background: give method.perceive=networks, or masks=")
    masks = away > 2 * NEAR
    if not masks.any():
        raise UserError("no subject found: the clip shows only its background")
    return masks


def depth_by_size(masks: np.ndarray) -> np.ndarray:
    """One depth for all of the subject in each frame, the side of a square of its area: larger is nearer.

    Args:
        masks: (F, H, W) bool.

    Returns:
        (F, H, W) float32, pixels.
    """
    side = np.sqrt(masks.sum((1, 2), dtype=np.float64)).astype(np.float32)
    return np.broadcast_to(side[:, None, None], masks.shape).copy()


def follow(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Which point of frame 0 each pixel of the subject shows, by chained optical flow (DIS, Kroeger et al. 2016).

    Args:
        frames: (F, H, W, 3) uint8.  masks: (F, H, W) bool.

    Returns:
        (F, H, W, 2) float32, x before y, -1 to 1 on the centres of the outer pixels; NaN off the subject.
    """
    height, width = masks.shape[1:]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)  # (H,W,2)
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    places = [grid]
    for before, now in zip(greys, greys[1:], strict=False):
        at = grid + dense_flow(now, before)
        read = cv2.remap(places[-1], at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        places.append(read.astype(np.float32))
    points = np.stack(places) / (np.array([max(width - 1, 1), max(height - 1, 1)], np.float32) / 2) - 1  # (F,H,W,2)
    return np.where(masks[..., None], points.clip(-1, 1), np.nan).astype(np.float32)
