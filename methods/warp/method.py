"""The warp without diffusion: dense flow of the driving clip, applied backwards to one frame of the reference."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch

from motionkit.methods.warp import SPEC
from motionkit.transfer import Inputs, MethodSpec, Tensors, Transfer


class Warp(Transfer):
    """Frame i is the reference read at x + flow(i to 0)(x), where the flow is the driving clip's, in pixels."""

    spec: ClassVar[MethodSpec] = SPEC

    def prepare(self, inputs: Inputs) -> Tensors:
        """The driving clip's flow from each frame back to the first one: "flow" (F, H, W, 2), x first, in pixels."""
        assert inputs.driving is not None  # required
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in inputs.driving.frames]
        flows = [np.zeros((*grey[0].shape, 2), np.float32)]
        for i in range(1, len(grey)):
            if self.config.path == "direct":
                flows.append(dense_flow(grey[i], grey[0], self.config.flow))
            else:
                flows.append(compose(dense_flow(grey[i], grey[i - 1], self.config.flow), flows[-1]))
            self.run.progress.tick("flow", i, len(grey) - 1)
        return {"flow": torch.from_numpy(np.stack(flows))}

    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """The reference's first frame moved along each flow; the border's colour comes in from outside."""
        assert inputs.reference is not None  # required
        frames = [backward_warp(inputs.reference.frames[0], flow) for flow in prepared["flow"].numpy()]
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)


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


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow that goes along `first` and from there along `second`; both (H, W, 2)."""
    return first + backward_warp(second, first)


def backward_warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Read `picture` (H, W, C) at x + flow(x), bilinear; outside it the nearest border pixel."""
    height, width = flow.shape[:2]
    at = flow + np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    return cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
