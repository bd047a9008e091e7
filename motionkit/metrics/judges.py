"""Small networks of the sprite world that judge results: a pose estimator, a frame classifier and a clip judge.

They know this world only; their own error on truth is stored in the weight file and is to be stated beside any figure.
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

SIZE = 128
STILL = "still"  # what the clip judge calls a clip that does not move


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)
    )


class Trunk(nn.Module):
    """Strided convolutions: (B, 3, 128, 128) to features at 32, 16 and 8 pixels."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Sequential(_conv(3, a, 2), _conv(a, b, 2), _conv(b, b))
        self.middle = nn.Sequential(_conv(b, c, 2), _conv(c, c))
        self.deep = nn.Sequential(_conv(c, d, 2), _conv(d, d), _conv(d, d))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, b, 32, 32), (B, c, 16, 16) and (B, d, 8, 8) of pictures (B, 3, 128, 128)."""
        at32 = self.stem(x)
        at16 = self.middle(at32)
        return at32, at16, self.deep(at16)


class PoseNet(nn.Module):
    """Frames (B, 3, 128, 128) in [0, 1] to K points (B, K, 2) in [-1, 1] and their certainty (B, K) in [0, 1]."""

    def __init__(self, points: int = 12, widths: tuple[int, int, int, int] = (24, 48, 96, 144)) -> None:
        super().__init__()
        _, b, c, d = widths
        self.trunk = Trunk(widths)
        self.up16, self.up32 = _conv(d + c, c), _conv(c + b, b)
        self.heads = nn.Conv2d(b, points, 5, padding=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, K, 2), x first, and their certainty (B, K) of pictures (B, 3, 128, 128)."""
        at32, at16, deep = self.trunk(x - 0.5)
        up = self.up16(torch.cat([F.interpolate(deep, scale_factor=2.0), at16], 1))
        up = self.up32(torch.cat([F.interpolate(up, scale_factor=2.0), at32], 1))
        heat = self.heads(up).float().flatten(2).softmax(-1)  # (B, K, h*w)
        side = torch.linspace(-1, 1, at32.shape[-1], device=x.device)
        grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).flatten(0, 1)  # (h*w, 2)
        value = heat @ grid  # (B, K, 2)
        spread = (heat[..., None] * (grid - value[:, :, None]).square()).sum((2, 3)).sqrt()
        return value, (1 - 4 * spread).clamp(0, 1)


class ScoreNet(nn.Module):
    """Frames (B, 3, 128, 128) in [0, 1] to logits for each named group of labels."""

    def __init__(self, groups: dict[str, list[str]], widths: tuple[int, int, int, int] = (24, 48, 96, 144)) -> None:
        super().__init__()
        self.groups = groups
        self.trunk = Trunk(widths)
        self.heads = nn.ModuleDict({g: nn.Linear(2 * widths[-1], len(labels)) for g, labels in groups.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits (B, labels) of each group for pictures (B, 3, 128, 128)."""
        deep = self.trunk(x - 0.5)[-1].flatten(2).float()  # (B, d, 64)
        pooled = torch.cat([deep.mean(-1), deep.amax(-1)], -1)  # (B, 2d)
        return {g: head(pooled) for g, head in self.heads.items()}


class _Moment(nn.Module):
    """One residual convolution over time, (B, C, F) to the same."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.mix = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F) of (B, C, F)."""
        return x + self.mix(F.silu(self.norm(x)))


class ClipNet(nn.Module):
    """Clips in [0, 1] to their motion (`moves`, at 64 pixels) and their character (`looks`, at 128 pixels).

    `moves` turns each frame into a posture, which must also tell where the joints are, and mixes postures over time.
    """

    def __init__(
        self,
        groups: dict[str, list[str]],
        points: int = 12,
        postures: tuple[int, int, int, int] = (20, 40, 64, 96),
        hidden: int = 176,
        looks: tuple[int, int, int, int] = (16, 32, 64, 112),
        embedding: int = 64,
    ) -> None:
        super().__init__()
        self.groups = groups
        a, b, c, d = postures
        self.posture = nn.Sequential(
            _conv(3, a, 2),
            _conv(a, b, 2),
            _conv(b, b),
            _conv(b, c, 2),
            _conv(c, c),
            _conv(c, d, 2),
            nn.Flatten(),
            nn.Linear(16 * d, hidden),
        )
        self.joints = nn.Linear(hidden, 2 * points)
        self.time = nn.Sequential(*(_Moment(hidden, dilation) for dilation in (1, 2, 1)))
        self.motion = nn.Linear(2 * hidden, len(groups["motion"]))
        self.trunk = Trunk(looks)
        wide = 2 * looks[-1]
        self.heads = nn.ModuleDict({g: nn.Linear(wide, len(v)) for g, v in groups.items() if g != "motion"})
        self.embed = nn.Sequential(nn.Linear(wide, 160), nn.SiLU(), nn.Linear(160, embedding))

    def moves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the motion (B, M) and joints (B, F, K, 2) in [-1, 1] of clips (B, F, 3, 64, 64), F >= 2."""
        posture = self.posture(x.flatten(0, 1) - 0.5).float().unflatten(0, x.shape[:2])  # (B, F, C)
        joints = self.joints(posture).unflatten(-1, (-1, 2))  # (B, F, K, 2)
        mixed = self.time(posture.transpose(1, 2))  # (B, C, F)
        return self.motion(torch.cat([mixed.mean(-1), mixed.amax(-1)], -1)), joints

    def looks(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits (B, labels) of kind and colour, and a unit vector of the identity (B, E), of frames (B, 3, 128, 128).

        Embeddings are close for two frames of one character and far for any other, of its kind too.
        """
        deep = self.trunk(x - 0.5)[-1].flatten(2).float()  # (B, d, 64)
        pooled = torch.cat([deep.mean(-1), deep.amax(-1)], -1)  # (B, 2d)
        return {g: head(pooled) for g, head in self.heads.items()}, F.normalize(self.embed(pooled).float(), dim=-1)


KINDS: dict[str, type[nn.Module]] = {"pose": PoseNet, "scorer": ScoreNet, "clipscorer": ClipNet}


def weights_path(name: str) -> Path:
    """The path of the shipped weights of a judge."""
    return places.assets() / "judges" / f"{name}.safetensors"


def load_judge(name: str, path: Path | None = None) -> tuple[nn.Module, dict[str, float]]:
    """The network in eval mode and its own error on truth.

    Raises:
        MissingWeights: no such file.
        UserError: not a file of this judge.
    """
    return _load(name, path or weights_path(name))


@lru_cache(maxsize=4)
def _load(name: str, path: Path) -> tuple[nn.Module, dict[str, float]]:
    return load_net(path, KINDS[name], name, f"train them with `make train-{name}`")


def as_input(frames: np.ndarray) -> tuple[Tensor, float]:
    """(F, H, H, 3) uint8 to (F, 3, 128, 128) in [0, 1], and the factor back to the original pixels."""
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, H)
    if x.shape[-2] != x.shape[-1]:
        raise ValueError(f"the judges need square pictures, not {x.shape[-1]}x{x.shape[-2]}")
    factor = (x.shape[-1] - 1) / (SIZE - 1)
    if x.shape[-1] != SIZE:
        x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return x, factor
