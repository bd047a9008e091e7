"""Motion history (Bobick and Davis 2001, section 3.2) with an exponential decay, as a tint."""

import numpy as np
import torch

from motionkit import Inputs, Transfer
from motionkit_ghost import SPEC

TINT = torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1)


class Ghost(Transfer):
    """One frame's history: 1 where something moves now, `decay` times the last history elsewhere."""

    spec = SPEC

    def prepare(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """The history "history" (F, H, W) in [0, 1]."""
        frames = inputs.driving.frames.astype(np.int16)
        history = [np.zeros(frames.shape[1:3], np.float32)]
        for i in range(1, len(frames)):
            moves = np.abs(frames[i] - frames[i - 1]).max(-1) > self.config.threshold
            history.append(np.where(moves, 1, self.config.decay * history[-1]).astype(np.float32))
            self.run.progress.tick("history", i, len(frames) - 1)
        return {"history": torch.from_numpy(np.stack(history))}

    def generate(self, inputs: Inputs, prepared: dict, fitted: dict) -> torch.Tensor:
        """The reference's first frame under the tint."""
        picture = torch.from_numpy(inputs.reference.frames[0].copy()).permute(2, 0, 1).float() / 255  # (3, H, W)
        alpha = self.config.opacity * prepared["history"][:, None]  # (F, 1, H, W)
        return picture * (1 - alpha) + TINT * alpha  # (F, 3, H, W)
