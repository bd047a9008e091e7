"""The input branches: pictures and latents beside the noise, and tokens of the reference's features.

The layout is the authors' (github.com/antgroup/animate-x, Apache-2.0), which took it from VideoComposer and UniAnimate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from motionkit.methods.animatex.net.config import FOLDED, AnimateXConfig

CHUNK_PIXELS = 512 * 512  # the first convolution keeps 32 numbers per pixel: about 34 MB at a time in float32


class FrameMixer(nn.Module):
    """Attention of each pixel over its frames, and a pixel-wise MLP without a norm of its own."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * heads * width, bias=False)  # each head is as wide as the pixel
        self.out = nn.Linear(heads * width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, C) to the same shape."""
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, H, F, C) each
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (N, F, H C)
        x = x + self.out(mixed)
        return x + self.mlp(x)


class Branch(nn.Module):
    """Convolutions on every frame, then the mixing over frames."""

    def __init__(self, conv: nn.Sequential, width: int, depth: int) -> None:
        super().__init__()
        self.conv = conv
        self.mix = nn.ModuleList(FrameMixer(width) for _ in range(depth))

    def forward(self, frames: Tensor) -> Tensor:
        """(B, C', F, H, W) to (B, C, F, h, w); a few frames at a time pass the convolutions."""
        batch = frames.shape[0]
        flat = frames.transpose(1, 2).flatten(0, 1)  # (B F, C', H, W)
        chunk = max(1, CHUNK_PIXELS // (flat.shape[-2] * flat.shape[-1]))
        return self.mixed(torch.cat([self.conv(part) for part in flat.split(chunk)]), batch)

    def mixed(self, features: Tensor, batch: int) -> Tensor:
        """Features of the convolutions (B F, C, h, w) to (B, C, F, h, w)."""
        height, width = features.shape[-2:]
        tokens = features.unflatten(0, (batch, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B h w, F, C)
        for layer in self.mix:
            tokens = layer(tokens)
        return tokens.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)  # (B, C, F, h, w)


def pixel_branch(config: AnimateXConfig, width: int) -> Branch:
    """Pictures (B, 3, F, H, W) in [0, 1] to (B, width, F, H / factor, W / factor)."""
    inner, pool = config.branch_channels, config.factor // 4
    conv = nn.Sequential(
        nn.Conv2d(3, inner, 3, padding=1),
        nn.SiLU(),
        nn.AvgPool2d(pool) if pool > 1 else nn.Identity(),
        nn.Conv2d(inner, inner, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(inner, width, 3, stride=2, padding=1),
    )
    return Branch(conv, width, config.branch_depth)


class FoldedPictures(nn.Module):
    """Pictures as they are, without weights, where `pixel_branch` has convolutions: nothing has to be learnt first."""

    def __init__(self, config: AnimateXConfig) -> None:
        super().__init__()
        self.factor = config.factor

    def forward(self, frames: Tensor) -> Tensor:
        """(B, 3, F, H, W) in [0, 1] to (B, 12, F, H / factor, W / factor)."""
        flat = folded(frames.transpose(1, 2).flatten(0, 1), self.factor)  # (B F, 12, h, w)
        return flat.unflatten(0, (frames.shape[0], -1)).transpose(1, 2)  # (B, 12, F, h, w)


def folded(pictures: Tensor, factor: int) -> Tensor:
    """Pictures (N, 3, H, W) to (N, 12, H / factor, W / factor): halves of a cell, averaged, as channels."""
    return functional.pixel_unshuffle(functional.avg_pool2d(pictures, factor // 2), 2)


def latent_branch(config: AnimateXConfig, width: int) -> Branch:
    """Latents (B, 4, F, h, w) to (B, width, F, h, w)."""
    inner = config.branch_channels
    conv = nn.Sequential(
        nn.Conv2d(config.latent_channels, inner, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(inner, inner, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(inner, width, 3, padding=1),
    )
    return Branch(conv, width, config.branch_depth)


def token_maker(features: int, width: int, count: int) -> nn.Sequential:
    """An MLP from one vector (..., features) to `count` tokens in a row (..., count * width)."""
    return nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, count * width))


class ReferenceGrid(nn.Module):
    """Tokens of the places of the reference, from its latent and its pose image: what each place shows and where it is.

    Not in the authors' network, which has the features of CLIP's image encoder there, pooled.
    """

    def __init__(self, config: AnimateXConfig, width: int = 64, groups: int = 8) -> None:
        super().__init__()
        out, self.factor = config.context_dim, config.factor
        self.enter = nn.Conv2d(config.latent_channels + FOLDED, width, 3, padding=1)
        self.fine = _residual(width, groups)
        self.down = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, out, 3, 2, 1))
        self.coarse = nn.ModuleList(_residual(out, groups) for _ in range(2))
        side = config.reference_grid
        self.places = nn.Parameter(torch.randn(1, out, side, side) * 0.02)
        self.norm = nn.LayerNorm(out)

    def forward(self, latent: Tensor, pose: Tensor) -> Tensor:
        """Latent (B, 4, h, w) and pose image (B, 3, H, W) in [0, 1] to tokens (B, h/2 w/2, D), row by row."""
        x = self.enter(torch.cat([latent, folded(pose, self.factor)], 1))
        x = self.down(x + self.fine(x))  # (B, D, h/2, w/2)
        for layer in self.coarse:
            x = x + layer(x)
        places: Tensor = self.places
        if places.shape[-2:] != x.shape[-2:]:
            places = functional.interpolate(places, x.shape[-2:], mode="bilinear")
        return self.norm((x + places).flatten(2).transpose(1, 2))  # (B, h/2 w/2, D)


def _residual(width: int, groups: int) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
