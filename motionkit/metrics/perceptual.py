"""LPIPS (Zhang et al. 2018, arXiv 1801.03924): perceptual distance of frames by an ImageNet network; needs its weights.

The linear heads come with torchmetrics; the backbone's weights are a local file or the hub's (see `needs`), read
without torchvision.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.metrics.frames import pair
from motionkit.metrics.needs import NEEDS, locate, read_state
from motionkit.weights.building import drawing

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # channels; 0 is a pooling
_ALEX = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))  # channels, kernel, ...
_TAPS = {"vgg16": (3, 8, 15, 22, 29), "alexnet": (1, 4, 7, 9, 11)}  # the ReLUs that are compared
_HEADS = {"vgg16": "vgg", "alexnet": "alex"}
LEAST_SIDE = 64  # pixels; smaller frames vanish before the last layers
_BATCH = 4  # pairs of frames at once, to bound memory


def lpips(
    video: np.ndarray, truth: np.ndarray, net: str = "vgg16", path: str | Path | None = None, unscaled: bool = False
) -> float:
    """Mean over frames of the learned distance of deep features; lower is better, [0, inf), 0 when identical.

    Args:
        video, truth: (F, H, W, 3), uint8 or floats in [0, 1], sides of at least 64 pixels.
        net: "vgg16" or "alexnet".
        path: its weights: a file, folder or hub id; None looks where `needs.locate` does.
        unscaled: feed [0, 1] where the network expects [-1, 1], as a widely copied script does (`lpips_vgg_01`).

    Raises:
        MissingWeights: not on this machine.
        UserError: not a file of that network.
        ValueError: not two videos of one shape, or smaller frames.
    """
    first, second = (torch.from_numpy(v).permute(0, 3, 1, 2).float() for v in pair(video, truth))  # (F, 3, H, W)
    if min(first.shape[-2:]) < LEAST_SIDE:
        raise ValueError(f"LPIPS needs frames of at least {LEAST_SIDE} pixels a side, got {tuple(first.shape[-2:])}")
    features, heads = _network(net, locate(net, path))
    values = []
    for one, two in zip(first.split(_BATCH), second.split(_BATCH), strict=True):
        if not unscaled:
            one, two = 2 * one - 1, 2 * two - 1
        values.append(_distance(_taps(features, one, net), _taps(features, two, net), heads))
    return float(torch.cat(values).mean())


def backbone(net: str) -> nn.Sequential:
    """The convolutional part of VGG-16 (Simonyan and Zisserman 2015) or AlexNet, keys as torchvision's `features`."""
    layers: list[nn.Module] = []
    width = 3
    if net == "vgg16":
        for channels in _VGG:
            if channels:
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
            else:
                layers.append(nn.MaxPool2d(2))
            width = channels or width
    else:
        for index, (channels, kernel, stride, padding) in enumerate(_ALEX):
            layers += [nn.Conv2d(width, channels, kernel, stride, padding), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if index < 2 else []
            width = channels
    return nn.Sequential(*layers)


@lru_cache(maxsize=2)
def _network(net: str, path: Path) -> tuple[nn.Sequential, list[Tensor]]:
    """The backbone with its weights, and the heads (1, C, 1, 1) that torchmetrics ships."""
    import torchmetrics.functional.image as shipped

    state = {k.removeprefix("features."): v for k, v in read_state(path, NEEDS[net].title).items() if "features." in k}
    with drawing():  # its first weights are drawn
        features = backbone(net)
    wanted = features.state_dict()
    for key in wanted:
        if key not in state or state[key].shape != wanted[key].shape:
            raise UserError(f"{path} is not a usable file of {NEEDS[net].title} weights: features.{key} is not there")
    features.load_state_dict({key: state[key].float() for key in wanted})
    folder = Path(shipped.__file__).parent / "lpips_models"
    kept = torch.load(folder / f"{_HEADS[net]}.pth", map_location="cpu", weights_only=True)
    heads = [kept[f"lin{index}.model.1.weight"] for index in range(len(_TAPS[net]))]
    return features.eval().requires_grad_(False), heads


def _taps(features: nn.Sequential, x: Tensor, net: str) -> list[Tensor]:
    """Unit-normalised features of pictures (n, 3, H, W), one (n, C, h, w) for each compared layer."""
    x = (x - torch.tensor(_SHIFT).view(3, 1, 1)) / torch.tensor(_SCALE).view(3, 1, 1)  # (n, 3, H, W)
    found = []
    for index, layer in enumerate(features):
        x = layer(x)
        if index in _TAPS[net]:
            found.append(x / (1e-8 + x.square().sum(1, keepdim=True)).sqrt())
    return found


def _distance(first: list[Tensor], second: list[Tensor], heads: list[Tensor]) -> Tensor:
    """(n,): weighted squared differences, mean over positions, summed over layers."""
    parts = [(head * (a - b).square()).sum(1).mean((1, 2)) for a, b, head in zip(first, second, heads, strict=True)]
    return torch.stack(parts).sum(0)
