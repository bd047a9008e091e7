"""Separates the subject from a plain background, and lets the background stay where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.diffusion.warp import identity_grid, warp
from motionkit.media.matte import subject_mask as subject_mask


def plate(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The background alone: the subject of one (H, W, 3) uint8 frame painted over with what surrounds it."""
    hole = cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    return cv2.inpaint(np.ascontiguousarray(frame), hole, 3, cv2.INPAINT_TELEA)


@dataclass(frozen=True)
class Layers:
    """The layers of a source frame: subject mask (1, 1, h, w), background (1, C, h, w) of one picture or latent."""

    mask: Tensor
    background: Tensor

    def place(self, moved: Tensor, flow: Tensor) -> Tensor:
        """Lay the moved subject (N, C, h, w) over the background, which stays.

        Args:
            moved: the source after warping by `flow`.
            flow: (N, h, w, 2).
        """
        alpha = warp(self.mask.expand(len(flow), -1, -1, -1), flow)
        return alpha * moved + (1 - alpha) * self.background

    def noise_grid(self, flow: Tensor, outside: float = 3.0) -> Tensor:
        """The flow to move noise by: the subject's own, the identity on the background.

        Where the subject was and no longer is, the grid points outside the picture: fresh noise goes there,
        because the inverted noise of that place still holds the subject.
        """
        moved = warp(self.mask.expand(len(flow), -1, -1, -1), flow)[:, 0, :, :, None] > 0.5  # (N,h,w,1)
        here = self.mask[:, 0, :, :, None] > 0.1
        still = identity_grid(*flow.shape[1:3]).to(flow).expand_as(flow)
        return torch.where(moved, flow, torch.where(here, torch.full_like(flow, outside), still))

    def kept(self, flow: Tensor) -> dict[str, Tensor]:
        """What `put_back` needs, as bytes: `alpha` (N, 1, h, w), where the subject may be, and `plate` (N, C, h, w).

        The moved mask is widened by a thirty-second of the picture, because denoising may draw beyond the warp.
        """
        moved = warp(self.mask.expand(len(flow), -1, -1, -1), flow)
        reach = max(2, min(moved.shape[-2:]) // 32)
        wide = F.max_pool2d(moved, 2 * reach + 1, 1, reach)
        soft = F.avg_pool2d(wide, reach + 1 - reach % 2, 1, reach // 2, count_include_pad=False)
        background = self.background.expand(len(flow), -1, -1, -1)
        return {"alpha": (255 * soft).round().byte(), "plate": (255 * background).round().byte()}


def put_back(frames: Tensor, prepared: Mapping[str, Tensor]) -> Tensor:
    """Put the source's background back wherever the subject cannot be; without layers, the frames (N, 3, H, W) stay."""
    if "alpha" not in prepared:
        return frames.contiguous()
    alpha, background = (prepared[name].float() / 255 for name in ("alpha", "plate"))
    return alpha * frames + (1 - alpha) * background


def shrink(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask (N, 1, H, W) at the latent's size, by area."""
    return F.interpolate(mask, (height, width), mode="area")
