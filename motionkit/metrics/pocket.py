"""Features of the sprite world for Fréchet and kernel distances that need no download: of clips and of frames.

They are inner values of the shipped judges, small networks that know the sprite world only: the distances are labelled
"pocket" everywhere, mean little on anything else, and are not to be compared with FVD or FID by their public networks.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from motionkit.media import from_frames, letterbox
from motionkit.metrics.judges import ClipNet, ScoreNet, as_input, load_judge

_BATCH = 64  # frames at once, to bound memory


@torch.no_grad()
def clip_features(video: np.ndarray) -> np.ndarray:
    """One vector (1, 240) for a clip: how its posture moves (176) and who is in it (64), by the sprite clip judge.

    Both halves have about the same weight: the posture features are normalised by their layer, and the mean identity (a
    unit vector) is multiplied by the root of 176.

    Args:
        video: (F, H, W, 3) uint8, F >= 4.

    Raises:
        MissingWeights: the judge is not there.
        ValueError: not a video, or fewer than 4 frames.
    """
    net, x = _looked_at("clipscorer", video)
    assert isinstance(net, ClipNet)
    if len(video) < 4:
        raise ValueError(f"motion needs at least 4 frames, got {len(video)}")
    posture = net.posture(F.avg_pool2d(x, 2) - 0.5).float()  # (F, 176)
    mixed = net.time(posture.T[None])  # (1, 176, F)
    moving = F.layer_norm(mixed.mean(-1), mixed.shape[1:2])  # (1, 176)
    who = torch.cat([net.looks(part)[1] for part in x.split(_BATCH)]).mean(0, keepdim=True)  # (1, 64)
    return torch.cat([moving, who * moving.shape[1] ** 0.5], -1).double().numpy()


@torch.no_grad()
def frame_features(video: np.ndarray) -> np.ndarray:
    """Vectors (F, 144) of the frames: the pooled last layer of the sprite frame classifier.

    Args:
        video: (F, H, W, 3) uint8.

    Raises:
        MissingWeights: the classifier is not there.
        ValueError: not a video.
    """
    net, x = _looked_at("scorer", video)
    assert isinstance(net, ScoreNet)
    parts = [net.trunk(part - 0.5)[-1].float().mean((2, 3)) for part in x.split(_BATCH)]  # each (n, 144)
    return torch.cat(parts).double().numpy()


def _looked_at(judge: str, video: np.ndarray) -> tuple[torch.nn.Module, torch.Tensor]:
    """A judge, and the clip as it sees it: (F, 3, 128, 128) in [0, 1], padded to a square."""
    if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or 0 in video.shape:
        raise ValueError(f"a video is (F, H, W, 3) uint8, got {video.dtype} {video.shape}")
    net, _ = load_judge(judge)
    if video.shape[1] != video.shape[2]:
        side = max(video.shape[1:3])
        video = letterbox(from_frames(video), side, side)[0].frames
    return net, as_input(video)[0]
