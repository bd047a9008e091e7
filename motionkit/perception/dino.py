"""Correspondence by matched features: those of DINOv2, and with them those of a diffusion UNet.

The features are SD-DINO's: Zhang et al. 2023, arXiv 2305.15347 (a tale of two features), with DINOv2: Oquab et al.
2023, arXiv 2304.07193 (Apache-2.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from motionkit.errors import UserError
from motionkit.perception import dense_features, matching, networks
from motionkit.perception.correspondence import Correspondence, CorrespondenceSettings
from motionkit.perception.estimators import Estimator, View

_NETWORK = networks.NETWORKS["dinov2"]


class Dino(Estimator):
    """By DINOv2's tokens alone."""

    def weights(self, settings: CorrespondenceSettings) -> dict[str, Path]:
        """DINOv2's files. Raises: MissingWeights, UserError."""
        return networks.files(_NETWORK, settings.weights)

    def facts(self, settings: CorrespondenceSettings) -> dict[str, Any]:
        """Id and hash of DINOv2."""
        return {_NETWORK.model_type: networks.facts(_NETWORK, settings.weights)}

    def read(self, view: View, settings: CorrespondenceSettings) -> Correspondence:
        """Points of the subject's pixels. Raises: MissingWeights, UserError."""
        assert view.masks is not None
        folder = networks.locate(_NETWORK, settings.weights)  # refuse before the UNet works
        groups = self._more(view, settings)
        side, device = settings.dino_side, view.device
        groups.append([dense_features.dino_features(view.frames, str(folder), side, device, view.dtype, view.progress)])
        points = matching.match_features(
            groups, view.masks, settings.grid, smooth=settings.smooth, mutual=settings.mutual, device=device
        )
        return Correspondence(points=points)

    def _more(self, view: View, settings: CorrespondenceSettings) -> list[list[Tensor]]:
        """Groups of features that are matched beside DINOv2's."""
        return []


class SdDino(Dino):
    """By features of the backbone's UNet as well, which has to be that of SD 1.x."""

    def read(self, view: View, settings: CorrespondenceSettings) -> Correspondence:
        """As `Dino.read`. Raises: UserError without a backbone, too."""
        if view.backbone is None:
            raise UserError(
                "correspondence: sd_dino reads the UNet of a loaded backbone: give one, or use backend=dino"
            )
        return super().read(view, settings)

    def _more(self, view: View, settings: CorrespondenceSettings) -> list[list[Tensor]]:
        assert view.backbone is not None and view.masks is not None
        layers = dense_features.sd_features(view.backbone, view.frames, view.subject, settings, view.progress)
        return [[matching.reduce(layer, view.masks, settings.components) for layer in layers]]
