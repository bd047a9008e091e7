"""Finds the keypoints of a clip's frames, where asked for also in turned views, in which a body that spins stands."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from motionkit.perception.turned import TURNS, angle, rotation, steadiest
from motionkit.perception.turned import turned as turn_picture

from .keypoints import Keypoints, KPDetector
from .pictures import to_float

# Of the logarithm of the spread: by how much less a turned view's heatmaps must spread, and what a leap costs.
UPRIGHT, LEAP = 0.35, 0.3


def detect(detector: KPDetector, frames: np.ndarray, turned: bool = False, chunk: int = 8) -> Keypoints:
    """Keypoints of (F, H, W, 3) uint8 frames, a few at a time, at the size that the detector knows.

    Args:
        turned: whether turned views are looked at too; each frame takes the one in which the heatmaps spread least.
    """
    pixels, side = to_float(frames), detector.frame_size
    if side and min(pixels.shape[-2:]) > side:
        scale = side / min(pixels.shape[-2:])
        pixels = interpolate(pixels, scale_factor=scale, mode="area")
    views = [_view(detector, pixels, view, chunk) for view in range(TURNS if turned else 1)]
    if not turned:
        return views[0][0]
    worth = -np.log(np.stack([spread.numpy() for _, spread in views]).astype(np.float64) + 1e-9)  # (TURNS, F)
    worth[0] += UPRIGHT
    chosen = torch.tensor(steadiest(worth, LEAP))
    value = torch.stack([found.value for found, _ in views])  # (TURNS, F, K, 2)
    jacobians = [found.jacobian for found, _ in views if found.jacobian is not None]
    frame = torch.arange(len(frames))
    return Keypoints(value[chosen, frame], torch.stack(jacobians)[chosen, frame] if jacobians else None)


def _view(detector: KPDetector, pixels: Tensor, view: int, chunk: int) -> tuple[Keypoints, Tensor]:
    """Keypoints found in a view of pictures (F, C, H, W), as places in the pictures, and the heatmaps' spread (F,)."""
    device, turn, parts = next(detector.parameters()).device, angle(view), []
    for part in pixels.split(chunk):
        features = detector.features((turn_picture(part, turn) if turn else part).to(device))
        heatmap = detector.heatmap(features)
        found = detector.read(features, heatmap)
        found = turn_back(found, turn, part.shape[-2], part.shape[-1]) if turn else found
        parts.append((found.map(Tensor.cpu), detector.spread(heatmap).cpu()))
    value = torch.cat([f.value for f, _ in parts])
    jacobians = [f.jacobian for f, _ in parts if f.jacobian is not None]
    return Keypoints(value, torch.cat(jacobians) if jacobians else None), torch.cat([s for _, s in parts])


def turn_back(points: Keypoints, turn: float, height: int, width: int) -> Keypoints:
    """The points in a picture of that size, of points that were found in `perception.turned.turned` of it."""
    half = torch.tensor([width - 1, height - 1], dtype=torch.float64) / 2
    matrix = (rotation(turn) * half / half[:, None]).to(points.value)  # of places in [-1, 1]
    return Keypoints(points.value @ matrix.T, None if points.jacobian is None else matrix @ points.jacobian)
