"""Small networks of the sprite world that methods use: the twelve points of a character, and who is in a frame.

They are perception's own: no metric measures with them, and the judges of `metrics` are other networks.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

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


class PointNet(nn.Module):
    """Frames (B, 3, 128, 128) in [0, 1] to K points (B, K, 2) in [-1, 1] and their certainty (B, K) in [0, 1]."""

    def __init__(self, points: int = 12, widths: Widths = (24, 48, 96, 144)) -> None:
        super().__init__()
        _, b, c, d = widths
        self.trunk = Trunk(widths)
        self.up16, self.up32 = conv_block(d + c, c), conv_block(c + b, b)
        self.heads = nn.Conv2d(b, points, 5, padding=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, K, 2), x first, and their certainty (B, K): mean and spread of a heat map for each."""
        at32, at16, deep = self.trunk(x - 0.5)
        up = self.up16(torch.cat([F.interpolate(deep, scale_factor=2.0), at16], 1))
        up = self.up32(torch.cat([F.interpolate(up, scale_factor=2.0), at32], 1))
        heat = self.heads(up).float().flatten(2).softmax(-1)  # (B, K, h*w)
        side = torch.linspace(-1, 1, at32.shape[-1], device=x.device)
        grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).flatten(0, 1)  # (h*w, 2)
        value = heat @ grid  # (B, K, 2)
        spread = (heat[..., None] * (grid - value[:, :, None]).square()).sum((2, 3)).sqrt()  # (B, K)
        return value, (1 - 4 * spread).clamp(0, 1)


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


# For now both files hold the numbers of the judges (metrics.judges: pose, and the looks of clipscorer), so that results
# stay what they were; networks of their own training follow (the body's is `pose.body_net`).
NETS: dict[str, tuple[type[nn.Module], str]] = {
    "points": (PointNet, "pocket_points"),
    "looks": (LooksNet, "pocket_looks"),
}


def weights_path(name: str) -> Path:
    """The path of the shipped file of "points" or "looks"."""
    return places.assets() / "perception" / f"{NETS[name][1]}.safetensors"


def load(name: str) -> tuple[Any, dict[str, float]]:
    """The network "points" or "looks" in eval mode, and its own error on truth. Raises: MissingWeights, UserError."""
    return _load(name, weights_path(name))


@lru_cache(maxsize=4)
def _load(name: str, path: Path) -> tuple[nn.Module, dict[str, float]]:
    return load_net(path, NETS[name][0], f"pocket {name}", places.install_again())


def as_input(frames: np.ndarray) -> tuple[Tensor, float]:
    """(F, H, H, 3) uint8 to (F, 3, 128, 128) in [0, 1], and the factor back to the original pixels."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, H)
    if x.shape[-2] != x.shape[-1]:
        raise ValueError(f"the pocket networks need square pictures, not {x.shape[-1]}x{x.shape[-2]}")
    factor = (x.shape[-1] - 1) / (SIZE - 1)
    if x.shape[-1] != SIZE:
        x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return x, factor


@torch.no_grad()
def points(frames: np.ndarray) -> np.ndarray:
    """Twelve points of each frame of a sprite.

    Args:
        frames: (F, H, H, 3) uint8.

    Returns:
        (F, 12, 3): x, y in pixels of the input, certainty in [0, 1]; order of `motionkit.sprites.BONES`.

    Raises:
        MissingWeights: the network is not there.
        ValueError: frames are not square.
    """
    net, _ = load("points")
    x, factor = as_input(frames)
    value, certainty = net(x)
    pixels = (value + 1) / 2 * 127 * factor
    return torch.cat([pixels, certainty[..., None]], -1).numpy()  # (F, 12, 3)
