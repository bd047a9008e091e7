"""What of the source stays, and another size of the subject: masks of the free part, background plates, moved noise.

The paper has no size control: the source's silhouette sits in the inverted latents. Here the subject's part of them is
scaled about the place where it stands, mixed with fresh noise that moves along, and the uncovered places are filled
with the background.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.diffusion.noise import warp_noise
from motionkit.diffusion.warp import identity_grid, warp

STILL = 0.03  # share of full brightness: pixels that vary less over time belong to a static background


def widen(mask: Tensor, margin: float) -> Tensor:
    """A mask (F, 1, h, w) of 0 and 1, wider by `margin` of the longer side."""
    reach = round(margin * max(mask.shape[2:]))
    return F.max_pool2d(mask, 2 * reach + 1, 1, reach) if reach else mask


def shrink(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask (F, 1, H, W) at the latents' size: 1 wherever the subject has any part of a latent's pixels."""
    return F.adaptive_max_pool2d(mask, size)


def scaled_grid(masks: Tensor, scale: float) -> Tensor:
    """The grid (F, h, w, 2) that reads a subject `scale` times as large, about the place where it stands.

    That place is the middle of the lowest row of its box, in each frame; where the subject is not seen nothing moves.

    Args:
        masks: (F, 1, h, w) of 0 and 1.
    """
    here = identity_grid(masks.shape[2], masks.shape[3])
    grid = here.expand(len(masks), -1, -1, -1).clone()
    for i, mask in enumerate(masks[:, 0] > 0.5):
        inside = here[mask.cpu()]  # (n,2)
        if len(inside):
            left, right = inside[:, 0].min(), inside[:, 0].max()
            foot = torch.stack([(left + right) / 2, inside[:, 1].max()])
            grid[i] = foot + (here - foot) / scale
    return grid


def follow_grid(masks: Tensor) -> Tensor:
    """The grid (F, h, w, 2) by which one picture moves along with the subject's centre, as in the first frame seen."""
    here = identity_grid(masks.shape[2], masks.shape[3])
    centres: list[Tensor] = []
    for mask in masks[:, 0] > 0.5:
        inside = here[mask.cpu()]
        centres.append(inside.mean(0) if len(inside) else centres[-1] if centres else torch.zeros(2))
    return torch.stack([here - (centre - centres[0]) for centre in centres])


def plates(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """The background alone: the subject replaced by other frames' pixels there, else by its surroundings.

    Other frames are used only where the background is static.

    Args:
        frames: (F, H, W, 3) uint8.  masks: (F, H, W) bool, a little wider than the subject.

    Returns:
        (F, H, W, 3) uint8.
    """
    hidden = np.where(masks[..., None], np.nan, frames.astype(np.float32) / 255)
    seen = ~masks.all(0)  # (H,W)
    usual = np.zeros(frames.shape[1:], np.float32)
    usual[seen] = np.nanmedian(hidden[:, seen], 0)
    moving = np.nanmedian(np.abs(hidden[:, seen] - usual[seen])) > STILL if seen.any() else True
    out = []
    for frame, mask in zip(frames, masks, strict=True):
        known = ~mask
        if not moving:
            frame = np.where((mask & seen)[..., None], (usual * 255).round().astype(np.uint8), frame)
            known = known | seen
        hole = (~known).astype(np.uint8)
        out.append(cv2.inpaint(np.ascontiguousarray(frame), hole, 3, cv2.INPAINT_TELEA) if hole.any() else frame)
    return np.stack(out)


@dataclass(frozen=True)
class Resized:
    """The source with its subject at another size.

    Attributes:
        clean, noise: (F, C, h, w): latents and noise to start from.
        background: (F, C, h, w): the latents without the subject.
        subject: (F, 1, h, w): where the subject is now, 0 or 1.
    """

    clean: Tensor
    noise: Tensor
    background: Tensor
    subject: Tensor


def resize(
    latents: Tensor,
    background: Tensor,
    noise: Tensor,
    masks: Tensor,
    scale: float,
    fresh: float,
    margin: float,
    generator: torch.Generator,
) -> Resized:
    """Scale the subject in latents and in their noise.

    Args:
        latents, background, noise: (F, C, h, w): the source, the source without its subject, and the noise that the
            inversion of the source found.
        masks: (F, 1, h, w), the subject at the latents' size.
        scale: of height and width.
        fresh: share of the deviation of the subject's noise that is drawn anew, 0 to 1.
        margin: as for `widen`.
        generator: of the CPU.
    """
    grid = scaled_grid(masks, scale)
    now = (warp(masks, grid, "zeros") > 0.5).float()
    wide, gone = widen(now, margin), widen(masks, margin)
    shape = (1, *noise.shape[1:])
    new = torch.randn(shape, generator=generator)
    new = warp_noise(new, follow_grid(masks), "nearest", generator)
    moved = warp_noise(noise, grid, "nearest", generator)
    mixed = (1 - fresh**2) ** 0.5 * moved + fresh * new
    around = torch.where(gone > 0.5, new, noise)  # the inverted noise there still contains the subject
    clean, start = torch.where(wide > 0.5, warp(latents, grid), background), torch.where(wide > 0.5, mixed, around)
    return Resized(clean, start, background, wide)
