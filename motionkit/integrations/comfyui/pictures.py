"""Pictures as ComfyUI passes them, IMAGE (B, H, W, C) and MASK (B, H, W) of floats in [0, 1], and as clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionkit.errors import UserError
from motionkit.media import Clip, read_clip
from motionkit.running import given_clips


def clip_of(image: Tensor | None, fps: float, name: str) -> Clip | None:
    """An IMAGE (B, H, W, C), C 1, 3 or 4, as a clip of B frames; transparency is laid over white.

    Raises:
        UserError: another shape.
    """
    if image is None:
        return None
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise UserError(
            f"{name} has the shape {tuple(image.shape)}: connect an IMAGE (frames, height, width, channels)"
        )
    clip = given_clips.clip_of(_bytes(image), name, fps)
    assert isinstance(clip, Clip)
    return clip


def image_of(frames: np.ndarray) -> Tensor:
    """Frames (F, H, W, 3) uint8 as an IMAGE (F, H, W, 3) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).float() / 255


def clip_from(path: Path) -> tuple[Tensor, float]:
    """A video file as an IMAGE, and its frames per second."""
    clip = read_clip(path)
    return image_of(clip.frames), float(clip.fps)


def write_masks(mask: Tensor, path: Path) -> Path:
    """A MASK (B, H, W) as the file of ready-made masks (B, H, W) uint8 of 0 and 255 that methods read.

    Raises:
        UserError: another shape, or a mask of nothing.
    """
    if mask.ndim != 3:
        raise UserError(f"masks has the shape {tuple(mask.shape)}: connect a MASK (frames, height, width)")
    values = np.where(mask.detach().cpu().float().numpy() > 0.5, 255, 0).astype(np.uint8)
    if not values.any():
        raise UserError("masks shows no subject: it is black everywhere")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path


def _bytes(image: Tensor) -> np.ndarray:
    return np.rint(image.detach().cpu().float().clamp(0, 1).numpy() * 255).astype(np.uint8)
