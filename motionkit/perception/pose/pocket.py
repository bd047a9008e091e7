"""Poses of drawn characters: the shipped network finds every joint of an OpenPose body in frames of any shape.

It was trained on the sprite world, in many styles. There both shoulders are in one place, and so are both hips.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motionkit.errors import UserError
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.pose import body_net
from motionkit.perception.pose.clip import PoseClip
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.perception.pose.find_body import find
from motionkit.weights.finding import shipped


def check(settings: PoseSettings) -> None:
    """The network is in the package, and no other weights were asked for. Raises: UserError, MissingWeights."""
    if settings.weights:
        raise UserError("the pocket pose estimator has its own weights: leave pose.weights empty")
    weight_files()


def weight_files() -> dict[str, Path]:
    """The network's file by name. Raises: MissingWeights."""
    return {"pose": shipped("perception", body_net.weights_path().name, get=body_net.GET)}


def read(frames: np.ndarray, settings: PoseSettings) -> PoseClip:
    """The poses of one drawn character in frames (F, H, W, 3) uint8; frames that show no body have no pose.

    Raises:
        MissingWeights, UserError: see `check`.
    """
    check(settings)
    high, wide = frames.shape[1:3]
    return PoseClip.of(find(frames, body_net.load()[0]).openpose() / [wide, high], (high, wide))


class PocketPose(Estimator):
    """Poses by `read`."""

    def check(self, settings: PoseSettings) -> None:
        """The network is in the package, and no other weights were asked for. Raises: UserError, MissingWeights."""
        check(settings)

    def weights(self, settings: PoseSettings) -> dict[str, Path]:
        """The network's file by name. Raises: MissingWeights."""
        return weight_files()

    def read(self, view: View, settings: PoseSettings) -> PoseClip:
        """The poses of one drawn character."""
        return read(view.frames, settings)
