"""Poses of sprites: the shipped estimator finds twelve points, a small net of joints makes an OpenPose body of them.

Limbs are the estimator's own points. Neck and face have no point of their own: a net of 7,000 weights predicts them
from all twelve; the hips follow, since the estimator's torso point is the middle between neck and hips. Sprites have
both shoulders in one place and both hips in another. All of it knows the sprite world only.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.perception import pocket_networks
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.pose.clip import PoseClip
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.sprites import BONES
from motionkit.weights.finding import shipped
from motionkit.weights.small_nets import load_net

GUESSED = (1, 0, 14, 15, 16, 17)  # neck, nose, eyes, ears: what the net predicts
TAKEN = {
    3: "arm_near",
    4: "forearm_near",
    6: "arm_far",
    7: "forearm_far",
    9: "leg_near",
    10: "shin_near",
    12: "leg_far",
    13: "shin_far",
}
TORSO = BONES.index("torso")
SURE = 0.5  # mean certainty of the twelve points below which a frame shows no body


class JointNet(nn.Module):
    """Twelve points to six joints, both relative to the torso's point and the points' spread."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * len(BONES), width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2 * len(GUESSED)),
        )

    def forward(self, points: Tensor) -> Tensor:
        """(F, 12, 2) in any unit to (F, 6, 2) in the same unit."""
        centre = points[:, TORSO, None]
        away = points - centre
        spread = away.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-6)  # (F, 1, 1)
        return self.layers((away / spread).flatten(1)).unflatten(1, (-1, 2)) * spread + centre  # (F, 6, 2)


def check(settings: PoseSettings) -> None:
    """Both nets are in the package, and no other weights were asked for. Raises: UserError, MissingWeights."""
    if settings.weights:
        raise UserError("the pocket pose estimator has its own weights: leave pose.weights empty")
    weight_files()


def weight_files() -> dict[str, Path]:
    """The files of both nets, by name. Raises: MissingWeights."""
    get = {"pose": "", "joints": "train them with `make train-joints`"}
    files = {"pose": "pocket_points", "joints": "joints"}
    return {name: shipped("perception", f"{file}.safetensors", get=get[name]) for name, file in files.items()}


def load_joints() -> tuple[JointNet, dict[str, float]]:
    """The net and its own error on truth. Raises: MissingWeights, UserError."""
    return _load_joints(weight_files()["joints"])


@lru_cache(maxsize=1)
def _load_joints(path: Path) -> tuple[JointNet, dict[str, float]]:
    net, figures = load_net(path, JointNet, "joints", "train them with `make train-joints`")
    assert isinstance(net, JointNet)
    return net, figures


@torch.no_grad()
def to_openpose(points: np.ndarray, net: JointNet) -> np.ndarray:
    """Twelve points (F, 12, 2) to OpenPose joints (F, 18, 2) in the same unit."""
    guessed = net(torch.from_numpy(points).float()).double().numpy()
    out = np.empty((len(points), 18, 2))
    out[:, list(GUESSED)] = guessed
    out[:, list(TAKEN)] = points[:, [BONES.index(b) for b in TAKEN.values()]]
    out[:, [2, 5]] = out[:, [1]]
    out[:, [8, 11]] = 2 * points[:, [TORSO]] - out[:, [1]]
    return out


def read(frames: np.ndarray, settings: PoseSettings) -> PoseClip:
    """The poses of a sprite in frames (F, H, W, 3) uint8; frames that show no sprite have no pose.

    The estimator knows squares that a sprite fills: of other shapes it uses the most certain of five squares of the
    shorter side along the longer one, the same in all frames.

    Raises:
        MissingWeights, UserError: see `check`.
    """
    check(settings)
    high, wide = frames.shape[1:3]
    side = min(high, wide)
    steps = np.unique(np.linspace(0, max(high, wide) - side, 5).round().astype(int))
    corners = [(0, int(x)) for x in steps] if wide > high else [(int(y), 0) for y in steps]
    views = [_points(frames[:, y : y + side, x : x + side]) for y, x in corners]
    best = int(np.argmax([view[..., 2].mean() for view in views]))
    found, (y, x) = views[best], corners[best]
    joints = to_openpose(found[..., :2], load_joints()[0])
    joints[found[..., 2].mean(1) < SURE] = np.nan
    return PoseClip.of((joints + [x, y]) / [wide, high], (high, wide))


def _points(frames: np.ndarray) -> np.ndarray:
    """Twelve points of each square frame with their certainty (F, 12, 3), a few frames at a time."""
    return np.concatenate([pocket_networks.points(part) for part in np.array_split(frames, -(-len(frames) // 32))])


class PocketPose(Estimator):
    """Poses by `read`."""

    def check(self, settings: PoseSettings) -> None:
        """Both nets are in the package, and no other weights were asked for. Raises: UserError, MissingWeights."""
        check(settings)

    def weights(self, settings: PoseSettings) -> dict[str, Path]:
        """The files of both nets by name. Raises: MissingWeights."""
        return weight_files()

    def read(self, view: View, settings: PoseSettings) -> PoseClip:
        """The poses of a sprite."""
        return read(view.frames, settings)
