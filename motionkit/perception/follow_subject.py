"""One of several characters in masks that hold all of them: chosen in the first frame, followed through the others.

For networks that separate characters from the background but not from each other, such as the sprite network.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from motionkit.errors import UserError

_GAP = 0.02  # of the longer side: parts that are nearer belong together
_SPECK = 0.1  # of the largest part: smaller ones are not characters
_SURE = 0.9  # share of a part that is nearer to one than to the others


def choose(
    masks: np.ndarray,
    frames: np.ndarray,
    subject: str,
    colours: Mapping[str, tuple[int, int, int]],
    place: np.ndarray | None = None,
) -> np.ndarray:
    """The masks of one character.

    In frame 0 it is the one at `place`, else the one whose colour the subject's words name, else all of them. Then each
    part goes to the character that was nearest in the frame before; touching characters are split by pixel, so that
    long contact and fast crossings can go wrong.

    Args:
        masks: (F, H, W) bool, all characters.
        frames: (F, H, W, 3) uint8.
        subject: a few words.
        colours: RGB by the words for them.
        place: (H, W) bool, somewhere on the character in frame 0 and nowhere else.

    Returns:
        (F, H, W) bool.

    Raises:
        UserError: there is no character at `place`.
    """
    parts = components(masks[0])
    if place is not None:
        wanted = [part for part in parts if (part & place).any()]
        if not wanted:
            raise UserError("no subject at the place that was given for frame 0: point at a character, or give masks=")
        wanted = [max(wanted, key=lambda part: (part & place).sum())]
    else:
        named = [colours[word] for word in subject.lower().split() if word in colours]
        if len(parts) < 2 or not named:
            return masks
        wanted = [min(parts, key=lambda part: np.linalg.norm(np.median(frames[0][part], axis=0) - named[0]))]
    return _follow(masks, wanted[0] & masks[0])


def components(mask: np.ndarray) -> list[np.ndarray]:
    """The characters in a mask (H, W) bool, each (H, W) bool: connected except for small gaps, without specks."""
    reach = 2 * max(1, round(_GAP * max(mask.shape) / 2)) + 1
    joined = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8))
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    parts = [mask & (labels == i) for i in range(1, count)]
    largest = max((part.sum() for part in parts), default=0)
    return [part for part in parts if part.sum() >= _SPECK * largest]


def _follow(masks: np.ndarray, first: np.ndarray) -> np.ndarray:
    out = np.zeros_like(masks)
    out[0] = first
    own, others = first, masks[0] & ~first
    for f in range(1, len(masks)):
        nearer = _distance(own) <= _distance(others)
        for part in components(masks[f]):
            share = nearer[part].mean()
            out[f] |= part if share >= _SURE else part & nearer if share > 1 - _SURE else np.zeros_like(part)
        rest = masks[f] & ~out[f]
        own = out[f] if out[f].any() else own
        others = rest if rest.any() else others
    return out


def _distance(mask: np.ndarray) -> np.ndarray:
    """Pixels to the nearest of the mask (H, W) float32; infinite when it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
