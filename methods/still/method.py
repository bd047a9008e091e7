"""Still: the reference's first frame, as often as the driving clip has frames."""

from __future__ import annotations

from typing import ClassVar

import torch

from motionkit.methods.still import SPEC
from motionkit.transfer import Inputs, MethodSpec, Tensors, Transfer


class Still(Transfer):
    """Repeats the reference; of the driving clip only the length and the rate count, which the run already knows."""

    spec: ClassVar[MethodSpec] = SPEC

    def prepare(self, inputs: Inputs) -> Tensors:
        """Nothing to perceive."""
        return {}

    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """The first frame of the reference, `run.frames` times."""
        assert inputs.reference is not None  # required
        frame = torch.from_numpy(inputs.reference.frames[0].copy()).permute(2, 0, 1)  # (3, H, W)
        return (frame.float() / 255).expand(self.run.frames, -1, -1, -1).clone()  # (F, 3, H, W)
