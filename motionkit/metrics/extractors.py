"""The public networks behind FVD, FID-VID and FID: a clip goes in, feature vectors come out; each needs its weights.

How a clip is resized follows DisCo's evaluation (arXiv 2307.00040), which most tables of the field were made with.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.metrics.i3d import I3D
from motionkit.metrics.needs import NEEDS, locate, read_state
from motionkit.metrics.resnet3d import ResNet3D
from motionkit.weights.building import LOCK

_MEAN = (114.7748, 107.7354, 99.4750)  # of Kinetics, in 0 to 255
_SEGMENT = 16  # frames at once of the 3D ResNet
_I3D_SIDE, _RESNET_SIDE = 224, 112
_BATCH = 8  # frames at once of Inception


@torch.no_grad()
def i3d_features(video: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """FVD's vector (1, 400) of a clip: I3D's logits at 224 x 224 pixels (Unterthiner et al. 2018, arXiv 1812.01717).

    Args:
        video: (F, H, W, 3) uint8; it is resized to a square, as the public scripts do.
        path: the weights; None looks where `needs.locate` does.

    Raises:
        MissingWeights: not on this machine; UserError: not I3D's; ValueError: not a video.
    """
    net = _network("i3d", locate("i3d", path))
    clip = _resized(video, _I3D_SIDE) / 127.5 - 1  # (F, 3, 224, 224)
    return _run(net, clip.transpose(0, 1)[None])  # (1, 3, F, 224, 224)


@torch.no_grad()
def resnet3d_features(video: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """FID-VID's vector (1, 2048) of a clip: mean over segments of 16 frames at 112 x 112 pixels.

    The last frame is repeated until the clip is a multiple of 16 frames long.

    Args and Raises: as `i3d_features`.
    """
    net = _network("resnet3d", locate("resnet3d", path))
    clip = _resized(video, _RESNET_SIDE) - torch.tensor(_MEAN).view(3, 1, 1)  # (F, 3, 112, 112)
    clip = torch.cat([clip, clip[-1:].expand(-len(clip) % _SEGMENT, -1, -1, -1)])
    parts = rearrange(clip, "(s f) c h w -> s c f h w", f=_SEGMENT)  # (S, 3, 16, 112, 112)
    return np.concatenate([_run(net, part[None]) for part in parts]).mean(0, keepdims=True)


@torch.no_grad()
def inception_features(video: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """FID's vectors (F, 2048) of the frames: Inception-v3 as of 2015 (Heusel et al. 2017), by torchmetrics.

    Args and Raises: as `i3d_features`; the package torch-fidelity holds the network.
    """
    net = _inception(locate("inception", path))
    frames = torch.from_numpy(np.ascontiguousarray(_checked(video))).permute(0, 3, 1, 2)  # (F, 3, H, W) uint8
    return np.concatenate([_run(net, part) for part in frames.split(_BATCH)])


def _run(net: nn.Module, x: Tensor) -> np.ndarray:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.to(device)(x.to(device)).double().cpu().numpy()


def _checked(video: np.ndarray) -> np.ndarray:
    if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or 0 in video.shape:
        raise ValueError(f"a video is (F, H, W, 3) uint8, got {video.dtype} {video.shape}")
    return video


def _resized(video: np.ndarray, side: int) -> Tensor:
    """(F, 3, side, side) in 0 to 255, bicubic with antialiasing, unrounded and unclipped (as Pillow does on floats)."""
    x = torch.from_numpy(np.ascontiguousarray(_checked(video))).permute(0, 3, 1, 2).float()  # (F, 3, H, W)
    if x.shape[-2:] == (side, side):
        return x
    return F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)


@lru_cache(maxsize=2)
def _network(name: str, path: Path) -> nn.Module:
    """I3D or the 3D ResNet with its weights."""
    title = NEEDS[name].title
    state: dict[str, Any] = read_state(path, title)
    with torch.device("meta"):
        net: nn.Module = I3D() if name == "i3d" else ResNet3D()
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} is not a usable file of {title} weights: {reason[:200]}") from error
    return net.float().eval().requires_grad_(False)


@lru_cache(maxsize=1)
def _inception(path: Path) -> nn.Module:
    read_state(path, NEEDS["inception"].title)  # the package unpickles freely: only plain tensors may reach it
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        with LOCK:
            return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path)).eval()
    except Exception as error:  # other tensors, or a package that does not fit this torch, end in many kinds of error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"torch-fidelity cannot use {path} as {NEEDS['inception'].title} weights: {reason}") from error
