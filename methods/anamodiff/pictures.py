"""Pictures of intermediate results for the report: keypoints, flow, and the warped clip."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import torch
from torch import Tensor

from motionkit.diffusion.warp import identity_grid

from .keypoints import Keypoints


def to_uint8(frames: Tensor) -> np.ndarray:
    """(F, 3, H, W) floats in [0, 1] to (F, H, W, 3) uint8."""
    scaled = (frames.detach().float().clamp(0, 1) * 255).round().byte()
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).cpu().numpy())  # (F,H,W,3)


def to_float(frames: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 to (F, 3, H, W) floats in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 255  # (F,3,H,W)


def draw_keypoints(frames: np.ndarray, points: Keypoints) -> np.ndarray:
    """Each point as a dot of its own hue, with a tick along the first axis of its local frame."""
    canvas = frames.copy()
    height, width = frames.shape[1:3]
    size = np.array([width - 1, height - 1]) / 2
    radius = max(1, min(height, width) // 50)
    colours = [
        tuple(round(255 * c) for c in colorsys.hsv_to_rgb(k / points.value.shape[1], 1, 0.9))
        for k in range(points.value.shape[1])
    ]
    places = (points.value.cpu().numpy() + 1) * size  # (F,K,2) in pixels
    for i, frame in enumerate(canvas):
        for k, colour in enumerate(colours):
            at = places[i, k]
            cv2.circle(frame, _pixel(at), radius, colour, -1, cv2.LINE_AA)
            if points.jacobian is not None:
                tick = points.jacobian[i, k, :, 0].cpu().numpy() * 3 * radius
                cv2.line(frame, _pixel(at), _pixel(at + tick), colour, 1, cv2.LINE_AA)
    return canvas


def _pixel(place: np.ndarray) -> tuple[int, int]:
    x, y = np.clip(np.nan_to_num(place), -9999, 9999).round().astype(int)
    return int(x), int(y)


def draw_flow(flow: Tensor, height: int, width: int) -> np.ndarray:
    """Displacement of (F, h, w, 2) grids as colour: hue for direction, saturation for length; white stands still."""
    offset = (flow - identity_grid(*flow.shape[1:3]).to(flow)).float().cpu().numpy()
    length = np.linalg.norm(offset, axis=-1)
    # uint8 HSV of OpenCV: hue 0 to 179.
    hue = (np.arctan2(offset[..., 1], offset[..., 0]) + np.pi) / (2 * np.pi) * 179
    saturation = 255 * length / max(float(np.quantile(length, 0.99)), 0.05)
    hsv = np.stack([hue, saturation.clip(0, 255), np.full_like(hue, 255)], -1).astype(np.uint8)  # (F,h,w,3)
    return np.stack(
        [
            cv2.resize(cv2.cvtColor(frame, cv2.COLOR_HSV2RGB), (width, height), interpolation=cv2.INTER_NEAREST)
            for frame in hsv
        ]
    )
