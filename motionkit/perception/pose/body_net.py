"""The network that finds the body of a drawn character: every joint, its certainty, and whether there is a body at all.

It is trained on the sprite world's `wild` and `easy` settings and shares nothing with the metrics.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from motionkit.sprites.skeleton import BONES
from motionkit.weights import places
from motionkit.weights.small_nets import load_net

SIZE = 128  # side of the input pictures
GET = "train it with `make train-pocket-pose`"
FACE = {"nose": 0, "eye_near": 14, "eye_far": 15, "ear_near": 16, "ear_far": 17}  # their OpenPose joints
POINTS = (*BONES, "neck_base", "hip", *FACE)
OPENPOSE = {  # joint: point; both shoulders of a sprite are in one place, and both hips
    1: "neck_base",
    2: "neck_base",
    3: "arm_near",
    4: "forearm_near",
    5: "neck_base",
    6: "arm_far",
    7: "forearm_far",
    8: "hip",
    9: "leg_near",
    10: "shin_near",
    11: "hip",
    12: "leg_far",
    13: "shin_far",
} | {joint: name for name, joint in FACE.items()}


class Found(NamedTuple):
    """The network's output for N pictures.

    Attributes:
        value: (N, 19, 2) points in [-1, 1], x first, -1 and 1 on the middle of the border pixels.
        sure: (N, 19) logit of the chance that a point is within 6 pixels of 128.
        seen: (N, 19) logit of the chance that nothing hides it.
        body: (N,) logit of the chance that there is a body.
        heat: (N, 19, 32 * 32) logits of the place.
    """

    value: Tensor
    sure: Tensor
    seen: Tensor
    body: Tensor
    heat: Tensor


class _Block(nn.Module):
    """Two convolutions around which the input passes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(width, width), nn.Conv2d(width, width, 3, 1, 1, bias=False))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.norm(self.layers(x)))


class _Glance(nn.Module):
    """Attention among the 64 places of the coarsest grid: which limb is which depends on the whole figure."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(64, width))
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = rearrange(x, "b c h w -> b (h w) c")  # (B, 64, C)
        mixed = self.qkv(self.norm(y + self.place))  # (B, 64, 3 C)
        q, k, v = rearrange(mixed, "b n (qkv heads c) -> qkv b heads n c", qkv=3, heads=self.heads)  # (B, heads, 64, c)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, heads, 64, C / heads)
        y = y + self.out(rearrange(mixed, "b heads n c -> b n (heads c)"))  # (B, 64, C)
        return rearrange(y + self.mlp(y), "b (h w) c -> b c h w", h=x.shape[2])  # (B, C, h, w)


def _conv(inputs: int, outputs: int, stride: int = 1, side: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU(inplace=True)
    )


class BodyNet(nn.Module):
    """Pictures (B, 3, 128, 128) in [0, 1] to `Found`."""

    def __init__(self, widths: tuple[int, int, int, int] = (24, 56, 96, 144), glances: int = 2) -> None:
        super().__init__()
        a, b, c, d = widths
        self.at64 = nn.Sequential(nn.PixelUnshuffle(2), _conv(12, a))
        self.at32 = nn.Sequential(_conv(a, b, 2), _Block(b))
        self.at16 = nn.Sequential(_conv(b, c, 2), _Block(c))
        self.at8 = nn.Sequential(_conv(c, d, 2), _Block(d), *(_Glance(d) for _ in range(glances)))
        self.side16, self.side32 = _conv(d, c, side=1), _conv(c, b, side=1)
        self.up16, self.up32 = _Block(c), _Block(b)
        points = len(POINTS)
        self.heat, self.offset = nn.Conv2d(b, points, 5, padding=2), nn.Conv2d(b, 2 * points, 3, padding=1)
        self.local = nn.Conv2d(b, 2 * points, 3, padding=1)  # sure and seen, read where the point is
        self.body = nn.Linear(2 * d, 1)

    def forward(self, x: Tensor) -> Found:
        """`Found` of pictures (B, 3, 128, 128)."""
        at32 = self.at32(self.at64(x - 0.5))
        at16 = self.at16(at32)
        deep = self.at8(at16)
        up = self.up16(F.interpolate(self.side16(deep), scale_factor=2.0) + at16)
        up = self.up32(F.interpolate(self.side32(up), scale_factor=2.0) + at32)
        heat = self.heat(up).float().flatten(2)  # (B, K, h*w)
        chance = heat.softmax(-1)
        side = torch.linspace(-1, 1, up.shape[-1], device=x.device)
        grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).flatten(0, 1)  # (h*w, 2)
        offset = 0.1 * self.offset(up).float().flatten(2).unflatten(1, (-1, 2)).tanh()  # (B, K, 2, h*w)
        value = chance @ grid + (offset * chance[:, :, None]).sum(-1)
        local = self.local(up).float().flatten(2).unflatten(1, (-1, 2))  # (B, K, 2, h*w)
        sure, seen = (local * chance.detach()[:, :, None]).sum(-1).unbind(-1)
        # The spread of the heat map determines most of the certainty.
        spread = (chance * (grid.square().sum(-1))).sum(-1) - (chance @ grid).square().sum(-1)
        sure = sure - 4 * spread.detach().clamp_min(0).sqrt()
        flat = deep.float().flatten(2)  # (B, d, 64)
        body = self.body(torch.cat([flat.mean(-1), flat.amax(-1)], -1))[:, 0]
        return Found(value, sure, seen, body, heat)


def weights_path() -> Path:
    """The path of the shipped file, which `make train-pocket-pose` writes."""
    return places.assets() / "perception" / "pocket_pose.safetensors"


def load(path: Path | None = None) -> tuple[BodyNet, dict[str, float]]:
    """The network in eval mode and its own error on truth; the shipped one, or that of `path`.

    Raises:
        MissingWeights: no such file.
        UserError: not a file of this network.
    """
    return _load(path or weights_path())


@lru_cache(maxsize=2)
def _load(path: Path) -> tuple[BodyNet, dict[str, float]]:
    net, figures = load_net(path, BodyNet, "body", GET)
    assert isinstance(net, BodyNet)
    return net, figures
