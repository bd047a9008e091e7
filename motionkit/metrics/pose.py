"""Keypoints of sprite-like frames by a small estimator trained on the sprite world, to measure motion against truth."""

from __future__ import annotations

import numpy as np
import torch

from motionkit.media import from_frames, letterbox
from motionkit.metrics.judges import as_input, load_judge, weights_path
from motionkit.metrics.keypoints import keypoint_error, pck

MIN_SCORE = 0.3  # joints that the estimator is less sure of, in the true video, do not count
PCK_RADIUS = 0.05  # of the frame's longer side


def available() -> bool:
    """Whether the shipped weights are there."""
    return weights_path("pose").is_file()


@torch.no_grad()
def estimate(frames: np.ndarray) -> np.ndarray:
    """Twelve points of each frame.

    Args:
        frames: (F, H, H, 3) uint8.

    Returns:
        (F, 12, 3): x, y in pixels of the input, certainty in [0, 1]; order of `motionkit.sprites.BONES`.

    Raises:
        MissingWeights: the estimator was not installed or trained.
        ValueError: frames are not square.
    """
    net, _ = load_judge("pose")
    x, factor = as_input(frames)
    value, certainty = net(x)
    pixels = (value + 1) / 2 * 127 * factor
    return torch.cat([pixels, certainty[..., None]], -1).numpy()  # (F, 12, 3)


def against(video: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Keypoint error (pixels) and PCK of a video against the true one; None when no joint of the true video is certain.

    Args:
        video, truth: (F, H, W, 3) uint8 of one shape.

    Raises: as `estimate`.
    """
    found, wanted = _estimate(video), _estimate(truth)
    visible = wanted[..., 2] >= MIN_SCORE
    if not visible.any():
        return {"keypoint_error": None, "pck": None}
    radius = PCK_RADIUS * max(truth.shape[1:3])
    return {
        "keypoint_error": keypoint_error(found[..., :2], wanted[..., :2], visible),
        "pck": pck(found[..., :2], wanted[..., :2], radius, visible),
    }


def _estimate(video: np.ndarray) -> np.ndarray:
    """(F, K, 3): x and y in the video's pixels, and certainty; the estimator itself wants square frames."""
    side = max(video.shape[1:3])
    square, box = letterbox(from_frames(video), side, side)
    return estimate(square.frames) - np.array([box.left, box.top, 0.0])


def stated_error() -> dict[str, float]:
    """The estimator's own error on held-out characters (pixels at 128 px), to be stated beside its results."""
    return dict(load_judge("pose")[1])
