"""I3D, an inflated Inception-v1 over clips (Carreira and Zisserman 2017, arXiv 1705.07750, fig. 3): FVD's extractor.

Layer names are those of the public PyTorch conversion (`i3d_pretrained_400.pt`), so its weights load as they are.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, cat, nn

CLASSES = 400
# Outputs: 1x1; 1x1 then 3x3; 1x1 then 3x3; 1x1 after pooling. A tuple of three is a pooling: kernel, stride.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLS = {
    "Conv3d_1a_7x7": ((1, 3, 3), (1, 2, 2)),
    "Conv3d_2c_3x3": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3c": ((3, 3, 3), (2, 2, 2)),
    "Mixed_4f": ((2, 2, 2), (2, 2, 2)),
}
_SIDE = 7  # pixels of the last map of a 224 pixel clip


def _same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around (B, C, F, H, W) so that each side is divided by the stride, rounded up; the odd one goes after."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (size % s or s), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class _Unit(nn.Module):
    """Convolution with same padding, normalisation and ReLU; the last one of the network has neither."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, plain: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=plain)
        self.bn = None if plain else nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, D, f, h, w)."""
        x = self.conv3d(_same(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class _Mixed(nn.Module):
    """Four branches side by side, their channels put together."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = _Unit(inputs, widths[0])
        self.b1a, self.b1b = _Unit(inputs, widths[1]), _Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = _Unit(inputs, widths[3]), _Unit(widths[3], widths[4], 3)
        self.b3b = _Unit(inputs, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, D, F, H, W)."""
        pooled = F.max_pool3d(_same(x, (3, 3, 3), (1, 1, 1)), 3, 1)
        return cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class I3D(nn.Module):
    """Clips (B, 3, F, 224, 224) in [-1, 1] to logits (B, 400) of the Kinetics classes, mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = _Unit(64, 64)
        self.Conv3d_2c_3x3 = _Unit(64, 192, 3)
        inputs = 192
        for name, widths in _MIXED.items():
            self.add_module(name, _Mixed(inputs, widths))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = _Unit(inputs, CLASSES, plain=True)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 400) of clips (B, 3, F, H, W) in [-1, 1], sides of at least 200 pixels."""
        for name, layer in self.named_children():
            if name == "logits":
                x = F.avg_pool3d(x, (min(2, x.shape[2]), _SIDE, _SIDE), 1)  # the authors': neighbours in time too
            x = layer(x)
            if name in _POOLS:
                kernel, stride = _POOLS[name]
                x = F.max_pool3d(_same(x, kernel, stride), kernel, stride)
        return x.mean((2, 3, 4))
