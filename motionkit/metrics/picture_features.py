"""DINO's view of pictures (Caron et al. 2021, arXiv 2104.14294): unit vectors, and how near frames are to a reference.

ViT-B/16, as VBench takes it; DreamBooth's "DINO" figure (arXiv 2208.12242) is of ViT-S/16, so that its values differ.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from motionkit.metrics.hub_models import check_pictures, consistency, load, locate, resized

_BATCH = 16  # pictures at once, to bound memory


@torch.no_grad()
def dino_embedding(frames: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """Unit vectors (F, 768) of pictures (F, H, W, 3) uint8: the class token of DINO's last layer.

    As VBench prepares them: the shorter side becomes 224 pixels (bilinear, no antialiasing) and nothing is cut off.

    Args:
        path: the weights: a folder or a hub id; None looks into the hub's cache.

    Raises:
        MissingWeights: not on this machine; UserError: damaged or another model; ValueError: not pictures.
    """
    check_pictures(frames)
    folder = locate("dino", path)
    model = load("dino", folder)
    side, shorter = model.config.image_size, min(frames.shape[1:3])
    height, width = (side * length // shorter for length in frames.shape[1:3])
    parts = []
    for part in torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).split(_BATCH):  # (n, 3, H, W)
        x = resized(part.float() / 255, "dino", folder, (height, width), "bilinear", antialias=False)
        parts.append(model(pixel_values=x, interpolate_pos_encoding=True).last_hidden_state[:, 0])  # (n, 768)
    return F.normalize(torch.cat(parts), dim=-1).numpy()


def dino_consistency(video: np.ndarray, reference: np.ndarray, path: str | Path | None = None, first: int = 1) -> float:
    """Mean DINO cosine between a reference picture and the frames from `first` on; higher is better, [-1, 1].

    Args:
        video: (F, H, W, 3) uint8, F > first; reference: (h, w, 3) uint8.

    Raises:
        ValueError: no frame is left; else as `dino_embedding`.
    """
    return consistency(lambda frames: dino_embedding(frames, path), video, reference, first)
