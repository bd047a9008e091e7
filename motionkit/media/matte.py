"""Finds the subject in front of a plain background, and removes the background's share from its colours."""

from __future__ import annotations

import cv2
import numpy as np

from motionkit.media.framing import border_colour

NEAR = 0.06  # a background pixel is within this of the border colour in every channel (0 to 1)
SPECKLE = 3e-4  # a separate spot below this share of the picture is dirt, not part of the subject
PLAIN = 0.9  # a background is plain when this share of the border pixels is that near


def subject_mask(frames: np.ndarray) -> np.ndarray | None:
    """How much each pixel belongs to the subject, by its distance from the border colour.

    Args:
        frames: (F, H, W, 3) uint8 of one clip.

    Returns:
        (F, H, W) float32 in [0, 1], 0 for background, 1 from twice the tolerance on; None when the border is not plain.
    """
    away = np.abs(frames.astype(np.float32) - border_colour(frames).astype(np.float32)).max(-1) / 255  # (F,H,W)
    border = np.concatenate([away[:, [0, -1]].ravel(), away[:, :, [0, -1]].ravel()])
    if (border < NEAR).mean() < PLAIN:
        return None
    mask = np.clip(away / NEAR - 1, 0, 1)
    # Speckles of a compressed background are not the subject; holes inside it (an eye, a white belly) are.
    return np.stack([_clean(frame) for frame in mask])


def _clean(mask: np.ndarray) -> np.ndarray:
    count, labels, facts, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8), connectivity=8)
    big = [i for i in range(1, count) if facts[i, cv2.CC_STAT_AREA] >= SPECKLE * mask.size]
    solid = np.isin(labels, big).astype(np.uint8)
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(solid), outlines, -1, 1, cv2.FILLED)
    near = cv2.dilate(filled, np.ones((3, 3), np.uint8))  # keeps the soft edge around the solid part
    return np.where(filled > 0, 1, mask * near).astype(np.float32)


def with_alpha(frames: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 and their alpha (F, H, W) uint8 as (F, H, W, 4) uint8, straight alpha.

    The colour of a half transparent pixel holds some of the background (the border's colour), which is taken out, so
    that no rim is left on another background.
    """
    behind = border_colour(frames).astype(np.float32)
    share = alpha[..., None].astype(np.float32) / 255  # (F, H, W, 1)
    own = (frames - (1 - share) * behind) / np.maximum(share, 1 / 255)
    colours = np.where(alpha[..., None] < 255, own, frames).clip(0, 255).round().astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], axis=-1)  # (F, H, W, 4)
