"""Optical flow for measuring, apart from the estimators that methods use: DIS of OpenCV, and RAFT where it is here.

DIS: Kroeger et al. 2016, arXiv 1603.03590. RAFT: Teed and Deng 2020, arXiv 2003.12039, by torchvision's class and its
copy of the authors' weights of FlyingChairs and FlyingThings3D (BSD-3-Clause), those of VBench.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.metrics.needs import NEEDS, locate, read_state
from motionkit.weights.building import drawing

_ROUNDS = 20  # refinements, as VBench takes
_LEAST = 128  # pixels: RAFT halves its maps of an eighth of that three times
_BATCH = 4  # pairs at once, to bound memory


def dis_flow(frames: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Flow (N, H, W, 2) float32 in pixels, x first, of grey pictures by dense inverse search.

    Args:
        frames, targets: (N, H, W, 3) uint8.
    """
    return np.stack([_dis(one, two) for one, two in zip(frames, targets, strict=True)])


def _dis(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    height, width = one.shape[:2]
    least = max(32, width // 2)  # OpenCV reads outside a picture that is smaller or flatter
    pad = [(0, max(0, least - side)) for side in (height, width)]
    grey = [np.pad(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), pad, mode="edge") for picture in (one, two)]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return estimator.calc(*grey, None)[:height, :width]  # type: ignore[call-overload]


@torch.no_grad()
def raft_flow(frames: np.ndarray, targets: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """Flow (N, H, W, 2) float32 in pixels, x first, by RAFT; frames are padded by their edges to what it takes.

    Args:
        frames, targets: (N, H, W, 3) uint8.
        path: the weights; None looks where `needs.locate` does.

    Raises:
        MissingWeights: weights or torchvision are not on this machine; UserError: other weights.
    """
    net = _raft(locate("raft", path))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    height, width = frames.shape[1:3]
    pairs = zip(_padded(frames).split(_BATCH), _padded(targets).split(_BATCH), strict=True)
    net.to(device)
    found = [net(one.to(device), two.to(device), num_flow_updates=_ROUNDS)[-1].cpu() for one, two in pairs]
    flow = torch.cat(found)[..., :height, :width]  # (N, 2, H, W)
    return flow.permute(0, 2, 3, 1).float().numpy()


def _padded(frames: np.ndarray) -> Tensor:
    """(N, 3, H, W) in [-1, 1], with sides of at least 128 that are multiples of 8."""
    sides = [max(_LEAST, -(-side // 8) * 8) - side for side in frames.shape[1:3]]
    padded = np.pad(frames, [(0, 0), (0, sides[0]), (0, sides[1]), (0, 0)], mode="edge")
    return torch.from_numpy(padded).permute(0, 3, 1, 2).float() / 127.5 - 1


@lru_cache(maxsize=1)
def _raft(path: Path) -> nn.Module:
    from torchvision.models.optical_flow import raft_large

    state = read_state(path, NEEDS["raft"].title)
    with drawing():  # its first weights are drawn
        net: nn.Module = raft_large(weights=None)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path} is not a usable file of {NEEDS['raft'].title} weights: {reason[:200]}") from error
    return net.float().eval().requires_grad_(False)
