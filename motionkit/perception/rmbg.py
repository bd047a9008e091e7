"""Figure and ground without a name: RMBG, which keeps whatever stands in front (IS-Net; Qin et al. 2022, 2203.03041).

The weights are BRIA's RMBG-1.4, in the layout of its hub folder (config.json, model.safetensors). Its own code is not
run: the network is written here from the paper and from the names of its tensors, and filled strictly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from motionkit.errors import UserError
from motionkit.perception import networks
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.masks import MaskSettings
from motionkit.perception.pixels import to_pixels
from motionkit.weights.building import drawing
from motionkit.weights.model_files import first_line, weight_files

SIDE = 1024  # pixels of the square that it was trained on
_WIDTH = 64  # channels of the published network's first layer; all others go with it
# name -> depth, channels in, inside and out at that width, and whether dilation takes the place of pooling
STAGES = {
    "stage1": (7, 64, 32, 64, False),
    "stage2": (6, 64, 32, 128, False),
    "stage3": (5, 128, 64, 256, False),
    "stage4": (4, 256, 128, 512, False),
    "stage5": (4, 512, 256, 512, True),
    "stage6": (4, 512, 256, 512, True),
    "stage5d": (4, 1024, 256, 512, True),
    "stage4d": (4, 1024, 128, 256, False),
    "stage3d": (5, 512, 64, 128, False),
    "stage2d": (6, 256, 32, 64, False),
    "stage1d": (7, 128, 16, 64, False),
}
_SIDES = (64, 64, 128, 256, 512, 512)  # channels of the maps that are looked at in training, the finest first


class Convolution(nn.Module):
    """3x3 convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w)."""
        return functional.relu(self.bn_s1(self.conv_s1(x)))


class ResidualU(nn.Module):
    """A small U-net inside a block, added to the block's input (U2-Net, Qin et al. 2020, 2005.09007, section 3.1)."""

    def __init__(self, depth: int, channels: int, inside: int, out: int, dilated: bool) -> None:
        super().__init__()
        self.depth, self.dilated = depth, dilated
        self.rebnconvin = Convolution(channels, out)
        for level in range(1, depth + 1):
            spread = 2 ** (level - 1) if dilated else 1 + (level == depth)
            setattr(self, f"rebnconv{level}", Convolution(out if level == 1 else inside, inside, spread))
        for level in range(depth - 1, 0, -1):
            spread = 2 ** (level - 1) if dilated else 1
            setattr(self, f"rebnconv{level}d", Convolution(2 * inside, out if level == 1 else inside, spread))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w)."""
        whole = self.rebnconvin(x)
        levels, x = [], whole
        for level in range(1, self.depth):
            x = _halved(x) if level > 1 and not self.dilated else x
            x = getattr(self, f"rebnconv{level}")(x)
            levels.append(x)
        x = getattr(self, f"rebnconv{self.depth}")(x)
        for level in range(self.depth - 1, 0, -1):
            x = getattr(self, f"rebnconv{level}d")(torch.cat([_like(x, levels[level - 1]), levels[level - 1]], 1))
        return x + whole


class ForegroundNet(nn.Module):
    """IS-Net: six stages down, five up; only the finest map is used.

    Args:
        width: channels of the first layer; 64 in the published network.
    """

    def __init__(self, width: int = _WIDTH) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, width, 3, stride=2, padding=1)
        for name, (depth, channels, inside, out, dilated) in STAGES.items():
            sizes = [c * width // _WIDTH for c in (channels, inside, out)]
            setattr(self, name, ResidualU(depth, sizes[0], sizes[1], sizes[2], dilated))
        for i, channels in enumerate(_SIDES, 1):
            setattr(self, f"side{i}", nn.Conv2d(channels * width // _WIDTH, 1, 3, padding=1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) to logits of the foreground, (B, 1, H, W)."""
        x, levels = self.conv_in(pixels), []
        for level in range(1, 7):
            x = getattr(self, f"stage{level}")(x if level == 1 else _halved(x))
            levels.append(x)
        for level in range(5, 0, -1):
            x = getattr(self, f"stage{level}d")(torch.cat([_like(x, levels[level - 1]), levels[level - 1]], 1))
        side: Any = self.side1
        return _like(side(x), pixels)


def _halved(x: Tensor) -> Tensor:
    return functional.max_pool2d(x, 2, 2, ceil_mode=True)


def _like(x: Tensor, other: Tensor) -> Tensor:
    return x if x.shape[2:] == other.shape[2:] else functional.interpolate(x, other.shape[2:], mode="bilinear")


def filled(
    network: networks.Network,
    path: str | None,
    build: Callable[[Mapping[str, Tensor]], nn.Module],
    device: torch.device | str = "cpu",
    idle: tuple[str, ...] = (),
    made: tuple[str, ...] = ("num_batches_tracked",),
) -> tuple[Any, Path]:
    """A network in eval mode, float32, and its folder (a folder or hub id; None is the default).

    Args:
        build: makes the network from the file's tensors.
        idle: how names begin that the file may hold and the network does not.  made: how names end that need no value.

    Raises:
        MissingWeights: as `networks.locate`.
        UserError: a file that is not this network's.
    """
    folder = networks.locate(network, path)
    (file,) = weight_files(folder, "model")
    try:
        with safe_open(file, "pt") as opened:
            names = [name for name in opened.keys() if not name.startswith(idle)]  # noqa: SIM118 (not a mapping)
            state = {name: opened.get_tensor(name).float() for name in names if not name.endswith(made)}
        with drawing():
            net = build(state)
        lost, other = net.load_state_dict(state, strict=False)
        if lost := [name for name in lost if not name.endswith(made)] or list(other):
            raise ValueError(f"{len(lost)} weights are missing or unknown, e.g. {lost[0]}")
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder} is not a usable {network.title} folder: {first_line(error)}") from error
    return net.eval().requires_grad_(False).to(device), folder


def load(path: str | None = None, device: torch.device | str = "cpu") -> tuple[ForegroundNet, Path]:
    """RMBG and its folder. Raises: as `filled`."""
    return filled(networks.RMBG, path, lambda state: ForegroundNet(len(state["conv_in.weight"])), device)


class Rmbg(Estimator):
    """Masks of what stands in front, each frame on its own.

    Attributes:
        network: the facts about it.  usual: mean and deviation of its pixels where the folder does not say.
    """

    network = networks.RMBG
    usual = ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))

    def load(self, path: str | None, device: Any) -> tuple[nn.Module, Path]:
        """The network in eval mode and its folder. Raises: as `filled`."""
        return load(path, device)

    def weights(self, settings: MaskSettings) -> dict[str, Path]:
        """The network's files. Raises: MissingWeights, UserError."""
        return networks.files(self.network, settings.weights)

    def facts(self, settings: MaskSettings) -> dict[str, Any]:
        """Id, hash and licence of the network."""
        network = self.network
        return {network.title.lower(): networks.facts(network, settings.weights) | {"licence": network.licence}}

    @torch.inference_mode()
    def read(self, view: View, settings: MaskSettings) -> np.ndarray:
        """Masks (F, H, W) bool; the subject's words are not read."""
        net, folder = self.load(settings.weights, view.device)
        masks = np.zeros(view.frames.shape[:3], bool)
        normal = networks.normalisation(folder, self.usual)
        for i, _ in enumerate(view.frames):
            pixels = to_pixels(view.frames[i : i + 1], SIDE, SIDE, *normal)  # (1, 3, SIDE, SIDE)
            logits = functional.interpolate(net(pixels.to(view.device)), view.frames.shape[1:3], mode="bilinear")
            masks[i] = (logits[0, 0] > 0).cpu().numpy()
            if view.progress:
                view.progress(i + 1, len(masks))
        return masks
