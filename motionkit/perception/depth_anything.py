"""Depth Anything V2: how near each pixel is, each frame on its own.

Yang et al. 2024, arXiv 2406.09414 (Small: Apache-2.0; Base and Large: CC BY-NC 4.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from motionkit.errors import UserError
from motionkit.perception import networks
from motionkit.perception.depth import DepthSettings
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.pixels import nearest_scale, to_pixels

_NETWORK = networks.NETWORKS["depth_anything"]


class DepthAnything(Estimator):
    """Relative inverse depth; of weights that give metres, the inverse."""

    def weights(self, settings: DepthSettings) -> dict[str, Path]:
        """The network's files. Raises: MissingWeights, UserError."""
        return networks.files(_NETWORK, settings.weights)

    def facts(self, settings: DepthSettings) -> dict[str, Any]:
        """Id and hash of the network."""
        return {_NETWORK.model_type: networks.facts(_NETWORK, settings.weights)}

    @torch.inference_mode()
    def read(self, view: View, settings: DepthSettings) -> np.ndarray:
        """Depth (F, H, W) float32, at least 0, larger is nearer. Raises: UserError, MissingWeights."""
        frames, device = view.frames, view.device
        model, folder = networks.load(_NETWORK, settings.weights, device, view.dtype)
        metric = getattr(model.config, "depth_estimation_type", "relative") == "metric"
        count, height, width = frames.shape[:3]
        inner = nearest_scale(height, width, settings.size, model.config.patch_size)
        mean_std, parts = networks.normalisation(folder), []
        for start in range(0, count, settings.batch):
            x = to_pixels(frames[start : start + settings.batch], *inner, *mean_std)
            seen = model(x.to(device, model.dtype)).predicted_depth[:, None].float()  # (f, 1, h, w)
            if metric:  # metres: nearer is smaller
                seen = 1 / seen.clamp_min(1e-3)
            whole = functional.interpolate(seen, (height, width), mode="bicubic", align_corners=False)
            parts.append(whole[:, 0].clamp_min(0).cpu())
            if view.progress:
                view.progress(min(start + settings.batch, count), count)
        depth = torch.cat(parts).numpy()
        if not np.isfinite(depth).all():
            raise UserError("depth: Depth Anything returned NaN or infinity; try gpu.dtype=float32")
        return depth
