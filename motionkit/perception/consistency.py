"""Ranks several videos by how well they match a drawing, by CLIP or else by the sprite network; for a method's choice.

CLIP: Radford et al., arXiv 2103.00020 (weights MIT). The FlipSketch authors' app filters by the same cosine. Figures
are measured apart from this, in `metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.media import from_frames, letterbox
from motionkit.perception import pocket_networks
from motionkit.perception.networks import Network, load, locate, normalisation, wanted
from motionkit.weights.finding import available

CLIP = Network(
    "CLIP",
    "CLIPModel",
    "clip",
    "openai/clip-vit-base-patch32",
    "0.6 GB",
    "MIT",
    "method.clip",
    "leave it out: then the sprite network is used",
    pickled=True,
)
_USUAL = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_CLIP_BATCH, _LOOKS_BATCH = 16, 64  # pictures at once, to bound memory


def rank_by_consistency(
    drawing: np.ndarray, videos: Sequence[np.ndarray], clip_path: str | Path | None = None
) -> tuple[list[float], str]:
    """How well each video matches the drawing, and which network measured it; the caller sorts, no video is dropped.

    That is CLIP when its weights are on this machine (or at `clip_path`), else the sprite network, which knows the
    sprite world only; without either every score is 0 and the name says so.

    Args:
        drawing: (H, W, 3) uint8.
        videos: each (F, H, W, 3) uint8, F >= 2.

    Returns:
        scores, the mean cosine of frames 1.. with the drawing, [-1, 1], one for each video in the given order; the name
        of the network for manifests.

    Raises:
        MissingWeights, UserError: `clip_path` was given and cannot be used.
        ValueError: a video has fewer than two frames.
    """
    if clip_path is not None or available(wanted(CLIP)):
        folder = locate(CLIP, clip_path)
        name = f"CLIP cosine to the drawing, mean of frames 1.. ({clip_path or CLIP.hub_id})"
        seen = clip_embedding(drawing[None], folder)[0]
        return [_mean_cosine(clip_embedding(_later(video), folder), seen) for video in videos], name
    if pocket_networks.weights_path().is_file():
        name = "sprite network, cosine to the drawing, mean of frames 1.. (CLIP's weights are not on this machine)"
        seen = looks_embedding(drawing[None])[0]
        return [_mean_cosine(looks_embedding(_later(video)), seen) for video in videos], name
    return [0.0 for _ in videos], "none (neither CLIP's weights nor the sprite network are on this machine)"


def _later(video: np.ndarray) -> np.ndarray:
    if len(video) < 2:
        raise ValueError(f"no frame from 1 on in a clip of {len(video)}")
    return video[1:]


def _mean_cosine(frames: np.ndarray, one: np.ndarray) -> float:
    return float((frames @ one).mean())


@torch.no_grad()
def clip_embedding(frames: np.ndarray, folder: str | Path | None = None) -> np.ndarray:
    """Unit vectors (F, E) of pictures (F, H, W, 3) uint8 by CLIP's image encoder; errors as `networks.load`."""
    model, place = _clip(locate(CLIP, folder))
    parts = [model.get_image_features(pixel_values=x) for x in _pictures(model, place, frames).split(_CLIP_BATCH)]
    features = torch.cat([getattr(part, "pooler_output", part) for part in parts])  # (F, E)
    return F.normalize(features, dim=-1).numpy()


@lru_cache(maxsize=1)
def _clip(folder: Path) -> tuple[Any, Path]:
    return load(CLIP, folder)


def _pictures(model: Any, folder: Path, frames: np.ndarray) -> Tensor:
    """(F, H, W, 3) uint8 to (F, 3, s, s) as the model expects; padded to a square with their border colour first."""
    side = model.config.vision_config.image_size
    x = torch.from_numpy(_square(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, H)
    x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in normalisation(folder, _USUAL))  # (3, 1, 1)
    return (x - mean) / deviation


@torch.no_grad()
def looks_embedding(frames: np.ndarray) -> np.ndarray:
    """A unit vector (F, 64) of who is in each frame (F, H, W, 3) uint8 of the sprite world, whatever the pose.

    Raises: MissingWeights, UserError: as `pocket_networks.load`; ValueError for what is not a video.
    """
    net, _ = pocket_networks.load()
    x, _ = pocket_networks.as_input(_square(frames))
    return torch.cat([net(part) for part in x.split(_LOOKS_BATCH)]).numpy()


def _square(frames: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 padded to squares with their border colour. Raises: ValueError for another array."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(f"pictures are (F, H, W, 3) uint8, got {frames.dtype} {frames.shape}")
    side = max(frames.shape[1:3])
    return letterbox(from_frames(frames), side, side)[0].frames
