"""Dense optical flow between pictures, by OpenCV's two methods or a registered estimator; numpy arrays in and out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from motionkit.perception.estimators import Asked, Estimator, View, Words
from motionkit.settings.setting import setting

BACKENDS = Words("flow")


@dataclass
class FlowSettings:
    """How flow is estimated."""

    backend: str = setting("Estimator of optical flow.", "dis", choices=BACKENDS)


def estimate_flow(frames: np.ndarray, targets: np.ndarray, settings: FlowSettings | None = None) -> np.ndarray:
    """The flow f (F, H, W, 2) float32 in pixels, x first, with frame(x) = target(x + f(x)).

    Args:
        frames, targets: (F, H, W, 3) uint8 RGB.

    Raises:
        UserError: an unknown estimator, or an error of the estimator.
    """
    settings = settings or FlowSettings()
    return Asked("flow", settings.backend).array(View(frames, targets), settings, "float32", (2,))


def dense_flow(source: np.ndarray, target: np.ndarray, kind: str = "dis") -> np.ndarray:
    """The flow f (H, W, 2) float32 in pixels, x first, with source(x) = target(x + f(x)).

    Args:
        source, target: (H, W) uint8.
        kind: "dis" (Kroeger et al. 2016) or "farneback" (Farneback, SCIA 2003).
    """
    height, width = source.shape
    # OpenCV picks DIS's coarsest level by the width alone, and reads outside a picture that is too flat or too small.
    least = max(32, width // 2)
    pad = [(0, max(0, least - side)) for side in source.shape]
    source, target = (np.pad(picture, pad, mode="edge") for picture in (source, target))
    if kind == "farneback":
        flow = cv2.calcOpticalFlowFarneback(source, target, None, 0.5, 4, 15, 5, 7, 1.5, 0)  # type: ignore[call-overload]
    else:
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(source, target, None)  # type: ignore[call-overload]
    return flow[:height, :width]


class Dis(Estimator):
    """Flow of the grey values by dense inverse search."""

    kind = "dis"

    def read(self, view: View, settings: FlowSettings) -> np.ndarray:
        """Flow (F, H, W, 2) float32 of each frame to its target."""
        assert view.targets is not None
        pairs = zip(view.frames, view.targets, strict=True)
        return np.stack([dense_flow(_grey(frame), _grey(target), self.kind) for frame, target in pairs])


class Farneback(Dis):
    """Flow of the grey values by polynomial expansion."""

    kind = "farneback"


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
