"""Kind and colour of a sprite-like frame by a small classifier, to judge samples against their captions."""

from __future__ import annotations

import numpy as np
import torch

from motionkit.metrics.judges import ScoreNet, as_input, load_judge, weights_path


def available() -> bool:
    """Whether the shipped weights are there."""
    return weights_path("scorer").is_file()


@torch.no_grad()
def classify(frames: np.ndarray) -> list[dict[str, str]]:
    """The most likely label of each group ("kind", "colour", "background") for each frame (F, H, H, 3) uint8."""
    net, _ = load_judge("scorer")
    assert isinstance(net, ScoreNet)
    logits = net(as_input(frames)[0])
    picks = {g: v.argmax(-1).tolist() for g, v in logits.items()}
    return [{g: net.groups[g][picks[g][i]] for g in picks} for i in range(len(frames))]


def stated_accuracy() -> dict[str, float]:
    """The classifier's own accuracy on held-out characters, each group in [0, 1]."""
    return dict(load_judge("scorer")[1])
