"""The drawing that the model sees, and frames that are drawings again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionkit.media import Clip
from motionkit.perception.estimators import Asked
from motionkit.perception.sketch import Drawing, SketchSettings, binarise, read_drawing

from .config import SketchConfig


def drawing_of(clip: Clip, config: SketchConfig, height: int, width: int) -> Drawing:
    """The clip's first picture as black lines on white, (height, width) pixels.

    A picture that was shrunk to this size is read at its own size, where thin lines are still there.

    Raises:
        UserError, MissingWeights: as `motionkit.perception.sketch.read_drawing`.
    """
    picture = clip.frames[0] if clip.original is None else clip.original
    return read_drawing(picture, _settings(config), (height, width))


def network_of(config: SketchConfig) -> Asked | None:
    """The estimator that the settings name, if it needs weights."""
    if config.source in ("auto", "drawing", "none"):
        return None
    asked = Asked("drawing", config.source)
    return asked if asked.spec.needs else None


def network_files(config: SketchConfig) -> dict[str, Path]:
    """The weight files that decide how a picture becomes a drawing: none without a network. Raises: MissingWeights."""
    network = network_of(config)
    found = network.weights(_settings(config)) if network else {}
    return {f"{config.source}/{name}": file for name, file in found.items()}


def _settings(config: SketchConfig) -> SketchSettings:
    return SketchSettings(
        source=config.source,
        clean=config.clean is not False,
        thickness=config.thickness,
        weights=config.weights,
        coarse=config.coarse,
    )


def finish(video: Tensor, method: str) -> np.ndarray:
    """Decoded frames (F, 3, H, W) in [0, 1] as pictures (F, H, W, 3) uint8; method as of `binarise`."""
    pixels = (video.detach().float().clamp(0, 1) * 255).round().cpu().numpy().astype(np.uint8)
    return binarise(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), method)  # (F, H, W, 3)


def to_video(frames: np.ndarray) -> Tensor:
    """Pictures (F, H, W, 3) uint8 as a video (F, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)
