"""3D ResNet-50 (Hara et al. 2018, arXiv 1711.09577, table 1, shortcut B): the extractor of FID-VID.

Layer names are those of the authors' checkpoints (`resnet-50-kinetics.pth`), so their weights load as they are.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 2048
_BLOCKS = (3, 4, 6, 3)


class _Bottleneck(nn.Module):
    """1x1x1, 3x3x3, 1x1x1 convolutions beside a shortcut; the width grows four times."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(inputs, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2, self.bn2 = nn.Conv3d(width, width, 3, stride, 1, bias=False), nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, 4 * width, 1, bias=False), nn.BatchNorm3d(4 * width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != 4 * width:
            shortcut = nn.Conv3d(inputs, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, 4w, f, h, w)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ResNet3D(nn.Module):
    """Clips (B, 3, 16, 112, 112) in 0 to 255 less the mean colour to features (B, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inputs = 64
        for index, blocks in enumerate(_BLOCKS):
            width = 64 * 2**index
            first = _Bottleneck(inputs, width, 1 if index == 0 else 2)
            rest = [_Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(first, *rest))
            inputs = 4 * width
        self.fc = nn.Linear(inputs, 400)  # in the checkpoint; not used for features

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 2048), mean over time and place, of clips (B, 3, F, H, W)."""
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for index in range(len(_BLOCKS)):
            x = getattr(self, f"layer{index + 1}")(x)
        return x.mean((2, 3, 4))
