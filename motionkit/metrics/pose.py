"""Keypoints of sprite-like frames by a small estimator trained on the sprite world, to measure motion against truth."""

from __future__ import annotations

import numpy as np
import torch

from motionkit.metrics.judges import as_input, load_judge, weights_path


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


def stated_error() -> dict[str, float]:
    """The estimator's own error on held-out characters (pixels at 128 px), to be stated beside what it measures."""
    return dict(load_judge("pose")[1])
