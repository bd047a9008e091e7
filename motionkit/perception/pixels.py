"""Frames as the vision networks expect them: resized as their own preprocessors do, normalised, (F, 3, h, w)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from motionkit.errors import UserError

LEAST = 8  # pixels of a side of a frame


def check_frames(frames: np.ndarray) -> None:
    """Raises: ValueError for what is not (F, H, W, 3) uint8; UserError for frames of no size."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames must be uint8 of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")
    if min(frames.shape[1:3]) < LEAST:
        size = f"{frames.shape[2]} x {frames.shape[1]}"
        raise UserError(f"the frames are only {size} pixels; give a clip of at least {LEAST} x {LEAST}")


def to_pixels(
    frames: np.ndarray,
    height: int,
    width: int,
    mean: Sequence[float],
    deviation: Sequence[float],
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> Tensor:
    """Frames (F, H, W, 3) uint8 to (F, 3, height, width) float32, resized with Pillow (as transformers' do)."""
    resized = [
        frame
        if frame.shape[:2] == (height, width)
        else np.asarray(Image.fromarray(frame).resize((width, height), resample))
        for frame in frames
    ]
    x = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255  # (F, 3, height, width)
    centre, spread = (torch.tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (mean, deviation))  # (3, 1, 1)
    return (x - centre) / spread


def long_side(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """(height, width) of the same aspect with a longer side near `side`, both multiples of `multiple`.

    >>> long_side(540, 960, 840, 14)
    (476, 840)
    """
    scale = side / max(height, width)
    return tuple(max(multiple, round(v * scale / multiple) * multiple) for v in (height, width))  # type: ignore[return-value]


def nearest_scale(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """(height, width) after DPT's rule: one side becomes `side`, whichever changes the picture's scale less.

    >>> nearest_scale(448, 768, 518, 14)
    (518, 882)
    """
    by_height, by_width = side / height, side / width
    scale = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
    return tuple(max(multiple, round(v * scale / multiple) * multiple) for v in (height, width))  # type: ignore[return-value]
