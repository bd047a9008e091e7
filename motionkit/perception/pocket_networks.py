"""The small network of the sprite world that says who is in a frame, and the layers that perception's networks share.

It is perception's own: no metric measures with it, and the judges of `metrics` are other networks.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.weights import places
from motionkit.weights.small_nets import load_net

SIZE = 128  # side of the pictures that they read
Widths = tuple[int, int, int, int]


def conv_block(inputs: int, outputs: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    """A convolution that keeps the size (but for its stride), batch norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)
    )


class Trunk(nn.Module):
    """Strided convolutions: (B, 3, 128, 128) to features at 32, 16 and 8 pixels."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Sequential(conv_block(3, a, 2), conv_block(a, b, 2), conv_block(b, b))
        self.middle = nn.Sequential(conv_block(b, c, 2), conv_block(c, c))
        self.deep = nn.Sequential(conv_block(c, d, 2), conv_block(d, d), conv_block(d, d))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, b, 32, 32), (B, c, 16, 16) and (B, d, 8, 8) of pictures (B, 3, 128, 128)."""
        at32 = self.stem(x)
        at16 = self.middle(at32)
        return at32, at16, self.deep(at16)


class LooksNet(nn.Module):
    """Frames (B, 3, 128, 128) in [0, 1] to a unit vector (B, E) of who is in them, whatever the pose."""

    def __init__(self, widths: Widths = (16, 32, 64, 112), hidden: int = 160, embedding: int = 64) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        self.embed = nn.Sequential(nn.Linear(2 * widths[-1], hidden), nn.SiLU(), nn.Linear(hidden, embedding))

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors (B, E): close for two frames of one character and far for any other, of its kind too."""
        deep = self.trunk(x - 0.5)[-1].flatten(2).float()  # (B, d, 64)
        pooled = torch.cat([deep.mean(-1), deep.amax(-1)], -1)  # (B, 2d)
        return F.normalize(self.embed(pooled).float(), dim=-1)


def weights_path() -> Path:
    """The path of the shipped file."""
    return places.assets() / "perception" / "pocket_looks.safetensors"


def load() -> tuple[LooksNet, dict[str, float]]:
    """The shipped network in eval mode, and its own error on truth. Raises: MissingWeights, UserError."""
    return _load(weights_path())


@lru_cache(maxsize=2)
def _load(path: Path) -> tuple[LooksNet, dict[str, float]]:
    net, figures = load_net(path, LooksNet, "pocket looks", places.install_again())
    assert isinstance(net, LooksNet)
    return net, figures


def as_input(frames: np.ndarray) -> tuple[Tensor, float]:
    """(F, H, H, 3) uint8 to (F, 3, 128, 128) in [0, 1], and the factor back to the original pixels."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, H)
    if x.shape[-2] != x.shape[-1]:
        raise ValueError(f"the pocket networks need square pictures, not {x.shape[-1]}x{x.shape[-2]}")
    factor = (x.shape[-1] - 1) / (SIZE - 1)
    if x.shape[-1] != SIZE:
        x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return x, factor
