"""Features of the sprite world for Fréchet and energy distances that need no download: of clips and of frames.

They are inner values and answers of the shipped judges, small networks that know the sprite world only: the
distances are labelled "pocket" everywhere, mean little on anything else, and are not to be compared with FVD or FID by
their public networks.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from motionkit.media import from_frames, letterbox
from motionkit.metrics.judges import ClipNet, ScoreNet, as_input, load_judge

_BATCH = 64  # frames at once, to bound memory
# Root of the summed variance of each block over 64 true clips of held-out characters (8 frames).
SPREAD = {"motion": 6.5, "speed": 2.4, "acceleration": 2.6, "kind": 15.5, "colour": 17.0, "change": 0.42}


@torch.no_grad()
def clip_features(video: np.ndarray) -> np.ndarray:
    """One vector (1, 60) for a clip, by the sprite clip judge: what moves, how fast, how smoothly, and who it is.

    Blocks: logits of the motion (12), log speed and log acceleration of the 12 joints (24), logits of kind and colour
    (23), and the log of how much the identity changes from frame to frame (1). Each block is divided by its spread over
    true clips, so that all six weigh alike. A few informative numbers instead of wide inner layers: with 32 clips and
    240 numbers a frozen copy could not be told from chance. A clip played backwards still can hardly be told.

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
    motion, joints = net.moves(F.avg_pool2d(x, 2)[None])
    said = [net.looks(part) for part in x.split(_BATCH)]
    who = torch.cat([identity for _, identity in said])  # (F, 64)
    step = joints[0].diff(dim=0)  # (F-1, 12, 2), of half a frame's side
    blocks = {
        "motion": motion[0],
        "speed": (step.norm(dim=-1).mean(0) + 0.01).log(),
        "acceleration": (step.diff(dim=0).norm(dim=-1).mean(0) + 0.01).log(),
        **{g: torch.cat([logits[g] for logits, _ in said]).mean(0) for g in ("kind", "colour")},
        "change": (who.diff(dim=0).norm(dim=-1).mean() + 0.02).log()[None],
    }
    return torch.cat([block / SPREAD[name] for name, block in blocks.items()]).double().numpy()[None]


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
