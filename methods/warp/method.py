"""The warp without diffusion: dense flow of the driving clip, applied backwards to one frame of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import torch

from motionkit.methods.warp import SPEC
from motionkit.perception.estimators import Asked
from motionkit.perception.flow import FlowSettings, estimate_flow
from motionkit.transfer import Inputs, MethodSpec, Tensors, Transfer


class Warp(Transfer):
    """Frame i is the reference read at x + flow(i to 0)(x), where the flow is the driving clip's, in pixels."""

    spec: ClassVar[MethodSpec] = SPEC

    @property
    def _flow(self) -> FlowSettings:
        return FlowSettings(self.config.flow)

    def check(self, inputs: Inputs) -> None:
        """Refuse an estimator of flow whose weights are not here."""
        Asked("flow", self.config.flow).check(self._flow)

    def weights(self) -> Mapping[str, Path]:
        """Those of the flow's estimator: OpenCV's have none."""
        return Asked("flow", self.config.flow).weights(self._flow)

    def prepare(self, inputs: Inputs) -> Tensors:
        """The driving clip's flow from each frame back to the first one: "flow" (F, H, W, 2), x first, in pixels."""
        assert inputs.driving is not None  # required
        frames = inputs.driving.frames
        flows = [np.zeros((*frames.shape[1:3], 2), np.float32)]
        for i in range(1, len(frames)):
            before = 0 if self.config.path == "direct" else i - 1
            flow = estimate_flow(frames[i : i + 1], frames[before : before + 1], self._flow)[0]
            flows.append(flow if self.config.path == "direct" else compose(flow, flows[-1]))
            self.run.progress.tick("flow", i, len(frames) - 1)
        return {"flow": torch.from_numpy(np.stack(flows))}

    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """The reference's first frame moved along each flow; the border's colour comes in from outside."""
        assert inputs.reference is not None  # required
        frames = [backward_warp(inputs.reference.frames[0], flow) for flow in prepared["flow"].numpy()]
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow that goes along `first` and from there along `second`; both (H, W, 2)."""
    return first + backward_warp(second, first)


def backward_warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Read `picture` (H, W, C) at x + flow(x), bilinear; outside it the nearest border pixel."""
    height, width = flow.shape[:2]
    at = flow + np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    return cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
