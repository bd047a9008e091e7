"""Swin Transformer's feature maps at four scales (Liu et al. 2021, 2103.14030), under the names of its authors."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Self-attention inside windows of `window` x `window` places, with a learned bias for each distance."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, apart: Tensor | None) -> Tensor:
        """Windows (N, w w, C); `apart` (N, w w, w w) bool says which places of a window do not see each other."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, w w, d) each
        bias = self.relative_position_bias_table[distances(self.window, x.device)]  # (w w, w w, heads)
        bias = bias.permute(2, 0, 1)[None]  # (1, heads, w w, w w)
        if apart is not None:
            bias = bias.masked_fill(apart[:, None], -100.0)  # (N, heads, w w, w w)
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).flatten(2))  # (N, w w, C)


def distances(window: int, device: torch.device | str = "cpu") -> Tensor:
    """The row of the table of biases for each pair of places in a window, (w w, w w)."""
    places = torch.cartesian_prod(*[torch.arange(window, device=device)] * 2)  # (w w, 2)
    apart = places[:, None] - places[None] + window - 1
    return apart[..., 0] * (2 * window - 1) + apart[..., 1]  # (w w, w w)


class Block(nn.Module):
    """Attention and a small network, each added to what comes in; every second block moves its windows by a half."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, window)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) to the same."""
        (height, width), side = x.shape[1:3], self.window
        y = functional.pad(self.norm1(x), (0, 0, 0, -width % side, 0, -height % side))  # to whole windows, by zeros
        rows, columns = y.shape[1] // side, y.shape[2] // side
        y = y.roll((-self.shift, -self.shift), (1, 2)) if self.shift else y
        apart = self._apart(rows, columns, len(x), x.device) if self.shift else None
        y = self.attn(rearrange(y, "b (r s) (c t) d -> (b r c) (s t) d", s=side, t=side), apart)
        y = rearrange(y, "(b r c) (s t) d -> b (r s) (c t) d", r=rows, c=columns, s=side)
        y = y.roll((self.shift, self.shift), (1, 2)) if self.shift else y
        x = x + y[:, :height, :width]
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))

    def _apart(self, rows: int, columns: int, batch: int, device: torch.device) -> Tensor:
        """Which places come from opposite borders of the picture, (B r c, w w, w w) bool."""
        side, shift = self.window, self.shift

        def parts(count: int) -> Tensor:
            at = torch.arange(count * side, device=device)
            return (at >= count * side - side).long() + (at >= count * side - shift)

        region = parts(rows)[:, None] * 3 + parts(columns)  # (h, w)
        windows = rearrange(region, "(r s) (c t) -> (r c) (s t)", s=side, t=side)
        return (windows[:, :, None] != windows[:, None]).repeat(batch, 1, 1)


class Merging(nn.Module):
    """Half the resolution, twice the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) to (B, h/2, w/2, 2C), odd sizes rounded up."""
        x = functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.reduction(self.norm(rearrange(x, "b (h i) (w j) c -> b h w (j i c)", i=2, j=2)))


class Stage(nn.Module):
    """Blocks of one scale, and what makes the next one."""

    def __init__(self, width: int, depth: int, heads: int, window: int, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, window, i % 2 * (window // 2)) for i in range(depth))
        self.downsample = None if last else Merging(width)


class Swin(nn.Module):
    """The network without its head.

    Args:
        width: channels of the finest map; each next one has twice as many.
        depths, heads: blocks, and heads of their attention, for each of the four scales.
        window: places on a side of a window.
    """

    def __init__(self, width: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 4, stride=4), "norm": nn.LayerNorm(width)})
        last, sizes = len(depths) - 1, zip(depths, heads, strict=True)
        self.layers = nn.ModuleList(Stage(width << i, *size, window, i == last) for i, size in enumerate(sizes))
        for i in range(len(depths)):
            setattr(self, f"norm{i}", nn.LayerNorm(width << i))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pixels (B, 3, H, W), sides multiples of 4, to maps (B, C, H/4, W/4), (B, 2C, H/8, W/8), ..."""
        x = self.patch_embed["norm"](self.patch_embed["proj"](pixels).permute(0, 2, 3, 1))  # (B, H/4, W/4, C)
        maps = []
        for i, stage in enumerate(self.layers):
            held: Any = stage
            for block in held.blocks:
                x = block(x)
            maps.append(getattr(self, f"norm{i}")(x).permute(0, 3, 1, 2))
            x = x if held.downsample is None else held.downsample(x)
        return maps
