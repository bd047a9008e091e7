"""Colour-coded correspondence C, depth D and mask M of the subject, and the product that MotionGuide sees.

A correspondence map says for every pixel of the subject which point of the reference frame it shows, as a colour whose
largest channel is 1. So the largest channel of C x D is the depth and the ratio of the channels is the
correspondence: the product loses neither (VIDMP3 section 3.1 and Figure 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.diffusion.warp import identity_grid
from motionkit.errors import UserError

from .options import INPUTS, one_of

COLOURS = ("polar", "uv1")
FAR = 0.1  # depth of the farthest subject pixel: 0 is the background, and would erase the correspondence
LONG_SIDE = 128  # working resolution
LARGE_MOTION = 0.04  # of the frame's diagonal, between neighbouring frames


@dataclass(frozen=True)
class GuideMaps:
    """What MotionGuide sees: image (F, C, h, w) that is zero outside the subject, and its mask (F, 1, h, w) of 0 and 1.

    The mask's mean is the paper's alpha, at this very resolution.
    """

    image: Tensor
    mask: Tensor

    @property
    def alpha(self) -> Tensor:
        """Share of the picture that the subject has, (F,)."""
        return self.mask.mean((1, 2, 3))

    def to(self, device: torch.device | str) -> GuideMaps:
        """The same maps on another device."""
        return GuideMaps(self.image.to(device), self.mask.to(device))


@dataclass(frozen=True)
class Wheel:
    """Colours of the points of the reference frame; made from its mask by `wheel_on`.

    Points are (x, y) from -1 to 1 on the centres of the outer pixels, as in `motionkit.diffusion.warp`.

    Attributes:
        kind: polar (hue by angle, saturation by distance) or uv1 (red by x, green by y, blue is 1; no seam).
        centre: the subject's centroid (polar), or its smallest x and y (uv1).
        reach: pixels per unit of x and y times 1 / largest distance (polar), or 1 / extent (uv1).
    """

    kind: str
    centre: tuple[float, float]
    reach: tuple[float, float]

    def __call__(self, points: Tensor) -> Tensor:
        """Colours (..., 3) in [0, 1] of points (..., 2); the largest channel of each is exactly 1."""
        offset = (points - points.new_tensor(self.centre)) * points.new_tensor(self.reach)
        if self.kind == "uv1":
            return torch.cat([offset.clamp(0, 1), torch.ones_like(offset[..., :1])], -1)
        # SD-DINO's wheel: hue 51 + 153 u, saturation 51 + 153 r in OpenCV's 8 bits, where a step of hue is 2 degrees.
        turn = torch.atan2(offset[..., 1], offset[..., 0]) / (2 * math.pi) + 0.5
        hue = (102 + 306 * turn) / 60
        saturation = 0.2 + 0.6 * offset.norm(dim=-1).clamp(max=1)
        return _bright(hue, saturation)


def _bright(hue: Tensor, saturation: Tensor) -> Tensor:
    """Hue in sixths of a turn and saturation to RGB (..., 3) at value 1."""
    steps = (torch.stack([5 + hue, 3 + hue, 1 + hue], -1)) % 6  # (...,3)
    return 1 - saturation[..., None] * torch.minimum(steps, 4 - steps).clamp(0, 1)


def wheel_on(mask: Tensor, kind: str = "polar") -> Wheel:
    """The wheel that spans the subject of the reference frame.

    Args:
        mask: (h, w), above 0.5 on the subject.

    Raises:
        UserError: an unknown kind, or an empty mask.
    """
    if kind not in COLOURS:
        one_of("colour map", kind, COLOURS)
    height, width = mask.shape
    inside = identity_grid(height, width)[mask.cpu() > 0.5]  # (n,2)
    if not len(inside):
        raise UserError("the first frame does not show the subject: start the clip where it is visible")
    if kind == "uv1":
        low, high = inside.amin(0), inside.amax(0)
        extent = (high - low).clamp_min(1e-6)
        return Wheel(kind, _pair(low), _pair(1 / extent))
    pixels = torch.tensor([max(width - 1, 1) / 2, max(height - 1, 1) / 2])
    centre = inside.mean(0)
    # By the subject's own radius, not the picture's, or a small subject would be pale all over.
    radius = ((inside - centre) * pixels).norm(dim=-1).max().clamp_min(1e-6)
    return Wheel(kind, _pair(centre), _pair(pixels / radius))


def _pair(xy: Tensor) -> tuple[float, float]:
    return float(xy[0]), float(xy[1])


def clean_masks(masks: Tensor, keep: float = 0.1) -> Tensor:
    """Binarise at 0.5 and drop specks: the largest component stays, and those of at least `keep` of its area.

    Args:
        masks: (F, 1, h, w) in [0, 1].

    Returns:
        The same shape, 0 or 1.

    Raises:
        UserError: no frame shows the subject.
    """
    cleaned = np.zeros(masks.shape, np.float32)
    for i, mask in enumerate((masks[:, 0] > 0.5).cpu().numpy().astype(np.uint8)):
        count, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = facts[1:, cv2.CC_STAT_AREA]
        if count > 1:
            cleaned[i, 0] = np.isin(labels, 1 + np.flatnonzero(areas >= keep * areas.max()))
    if not cleaned.any():
        raise UserError("no subject found in any frame: name another subject, or give masks=")
    return torch.from_numpy(cleaned).to(masks.device)


def normalise_depth(depth: Tensor, masks: Tensor) -> Tensor:
    """Relative inverse depth (larger is nearer) to [0.1, 1] on the subject and 0 elsewhere, once for the whole clip.

    The limits are the 2nd and 98th percentile of the subject's pixels of all frames together: limits for each frame
    would take motion towards the camera away. A subject of one single depth gets 1.

    Args:
        depth: (F, 1, h, w), any scale.
        masks: (F, 1, h, w), above 0.5 on the subject.
    """
    inside = masks > 0.5
    values = depth[inside].float().cpu().numpy()
    if not len(values):
        return torch.zeros_like(depth, dtype=torch.float32)
    low, high = (float(v) for v in np.percentile(values, (2, 98)))
    span = high - low
    level = ((depth.float() - low) / span).clamp(0, 1) if span > 1e-6 * max(abs(high), 1e-6) else torch.ones_like(depth)
    return (FAR + (1 - FAR) * level.float()) * inside


def steady_depth(depth: Tensor, masks: Tensor) -> Tensor:
    """Remove the estimator's flicker: each frame's background is matched to the background's median over time.

    For a camera that stands still. Scale and offset of each frame are least squares over pixels that are background in
    it; a frame with too little or too flat a background stays as it is.

    Args:
        depth, masks: (F, 1, h, w).
    """
    outside = masks <= 0.5
    hidden = torch.where(outside, depth.float(), torch.nan)
    usual = hidden.nanmedian(0).values  # (1,h,w)
    steady = depth.float().clone()
    for i in range(len(depth)):
        use = outside[i] & usual.isfinite()
        x, y = depth[i][use].float(), usual[use]
        spread = x.var() if len(x) > 16 else x.new_zeros(())
        if spread > 1e-8:
            scale = ((x - x.mean()) * (y - y.mean())).mean() / spread
            if scale > 0:
                steady[i] = (depth[i].float() - x.mean()) * scale + y.mean()
    return steady


def compose(colours: Tensor, depth: Tensor, mask: Tensor, inputs: str = "product") -> Tensor:
    """C, D and M as the guide's input: C x D x M, or one of the paper's ablations (its Figure 6).

    Args:
        colours: (F, 3, h, w).  depth, mask: (F, 1, h, w).
        inputs: product, concat, correspondence, depth.

    Returns:
        (F, 3, h, w); (F, 4, h, w) for concat; (F, 1, h, w) for depth.
    """
    one_of("guide input", inputs, INPUTS)
    if inputs == "product":
        return colours * depth * mask
    parts = {"concat": [colours, depth], "correspondence": [colours], "depth": [depth]}[inputs]
    return torch.cat([part * mask for part in parts], 1)


def build_maps(
    colours: Tensor, depth: Tensor, masks: Tensor, inputs: str = "product", long_side: int = LONG_SIDE
) -> GuideMaps:
    """Bring C, D and M of any size to the working resolution and put them together.

    Colours and depth are averaged over the subject's pixels only, so that no background enters at its border, and
    colours are brought back to a largest channel of 1.

    Args:
        colours: (F, 3, h, w) in [0, 1].
        depth: (F, 1, h, w), of `normalise_depth`.
        masks: (F, 1, h, w), of `clean_masks`.
        long_side: longer side of the result; the shape of the picture stays.

    Raises:
        UserError: different numbers of frames, or a subject that vanishes at this resolution.
    """
    frames = {len(colours), len(depth), len(masks)}
    if len(frames) > 1:
        raise UserError(
            f"correspondence, depth and masks have {len(colours)}, {len(depth)} and {len(masks)} frames: "
            "give maps of one clip"
        )
    size = _fit(masks.shape[2], masks.shape[3], long_side)
    small = (_area(masks.float(), size) > 0.5).float()
    if not small.any():
        raise UserError(f"the subject is too small: it vanishes at {size[1]}x{size[0]} pixels")
    paint = _average(colours.float(), masks, size)
    brightest = paint.amax(1, keepdim=True)
    paint = torch.where(brightest > 0, paint / brightest.clamp_min(1e-6), paint)
    image = compose(paint, _average(depth.float(), masks, size), small, inputs)
    return GuideMaps(image, small)


def _fit(height: int, width: int, long_side: int) -> tuple[int, int]:
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _area(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="area")


def _average(x: Tensor, masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Averages of x (F, C, h, w) over the masked pixels of each cell; x and masks may differ in size."""
    inside = masks.float()
    if inside.shape[2:] != x.shape[2:]:
        inside = F.interpolate(inside, x.shape[2:], mode="nearest-exact")
    weight = _area(inside, size)
    return _area(x * inside, size) / weight.clamp_min(1e-6)


def motion_size(masks: Tensor) -> float:
    """How much the subject moves: the median step of centroid and scale between frames, over the frame's diagonal.

    Args:
        masks: (F, 1, h, w); frames without subject are left out.
    """
    height, width = masks.shape[2:]
    places = []
    for mask in masks[:, 0] > 0.5:
        ys, xs = mask.nonzero(as_tuple=True)
        if len(xs):
            places.append((float(xs.float().mean()), float(ys.float().mean()), math.sqrt(len(xs))))
    steps = [math.hypot(b[0] - a[0], b[1] - a[1]) + abs(b[2] - a[2]) for a, b in zip(places, places[1:], strict=False)]
    return float(np.median(steps)) / math.hypot(height, width) if steps else 0.0


def choose_lambda(masks: Tensor) -> float:
    """The paper's weight of the guide: 0.1 for large motion, 0.05 for small; the threshold is ours."""
    return 0.1 if motion_size(masks) > LARGE_MOTION else 0.05
