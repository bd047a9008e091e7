"""The encoder-decoder that the keypoint detector and LOFNet share, and the anti-aliased downsampling before it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Layer names follow the first-order-model checkpoints (Siarohin et al. 2019), so that public weights load strictly.


class _Block(nn.Module):
    """conv 3x3, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class _Encoder(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(_Block(a, b) for a, b in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for block in self.down_blocks:
            features.append(F.avg_pool2d(block(features[-1]), 2))  # halves h, w
        return features


class _Decoder(nn.Module):
    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        levels = len(widths) - 1
        # Every level but the deepest also receives the encoder feature of its resolution.
        self.up_blocks = nn.ModuleList(
            _Block(widths[i + 1] * (1 if i == levels - 1 else 2), widths[i]) for i in reversed(range(levels))
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        skips = list(features)
        out = skips.pop()
        for block in self.up_blocks:
            skip = skips.pop()
            # The skip's own size, not x2, so that odd sizes work too.
            out = block(F.interpolate(out, size=skip.shape[-2:], mode="nearest"))
            out = torch.cat([out, skip], dim=1)
        return out


class Hourglass(nn.Module):
    """U-shaped net; the last skip is the raw input (spec of Siarohin et al. 2019, supplement).

    Args:
        block_expansion: width b of the first level.
        in_features: input channels c.
        num_blocks: levels n; height and width must be at least 2**n.
        max_features: cap on the width.

    Maps (B, c, h, w) to (B, b + c, h, w); `out_channels` holds b + c.
    """

    def __init__(self, block_expansion: int, in_features: int, num_blocks: int = 5, max_features: int = 1024) -> None:
        super().__init__()
        # The decoder's last block returns to min(cap, b); the encoder's first block starts from the input itself.
        widths = [min(max_features, block_expansion * 2**i) for i in range(num_blocks + 1)]
        self.encoder = _Encoder([in_features, *widths[1:]])
        self.decoder = _Decoder(widths)
        self.num_blocks = num_blocks
        self.out_channels = widths[0] + in_features

    def forward(self, x: Tensor) -> Tensor:
        """Return the features; raises ValueError when the input is too small for the number of levels."""
        if min(x.shape[-2:]) < 2**self.num_blocks:
            raise ValueError(f"an input of {x.shape[-1]}x{x.shape[-2]} is too small for {self.num_blocks} levels")
        return self.decoder(self.encoder(x))


class AntiAlias(nn.Module):
    """Gaussian blur with sigma (1/s - 1)/2, then every (1/s)-th pixel from 0.

    Args:
        channels: channels of the input.
        scale: s in (0, 1), the reciprocal of a whole number.
    """

    weight: Tensor

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        sigma = (1 / scale - 1) / 2
        self.radius = round(4 * sigma)
        self.step = round(1 / scale)
        offset = torch.arange(-self.radius, self.radius + 1, dtype=torch.float32)
        line = torch.exp(-(offset**2) / (2 * sigma**2))
        kernel = torch.outer(line, line)
        kernel = kernel / kernel.sum()
        self.register_buffer("weight", kernel.expand(channels, 1, -1, -1).clone())  # (C,1,k,k)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, h*s, w*s)."""
        blurred = F.conv2d(F.pad(x, (self.radius,) * 4), self.weight, groups=x.shape[1])
        return blurred[:, :, :: self.step, :: self.step]  # (B,C,hs,ws)
