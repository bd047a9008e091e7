"""Unsupervised keypoints with jacobians: the detector of the first-order motion model (Siarohin et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.diffusion.warp import exact, identity_grid

from .hourglass import AntiAlias, Hourglass


@dataclass(frozen=True)
class Keypoints:
    """K points of N frames, in [-1, 1] with x first and -1/+1 on pixel centres.

    Attributes:
        value: (N, K, 2).
        jacobian: (N, K, 2, 2), rows x then y, or None for points without a local frame.
    """

    value: Tensor
    jacobian: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Keypoints:
        """Apply one function to both tensors."""
        return Keypoints(change(self.value), None if self.jacobian is None else change(self.jacobian))

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> Keypoints:
        """Pick frames; a whole number keeps the frame axis."""
        pick = slice(index, index + 1 or None) if isinstance(index, int) else index
        return self.map(lambda x: x[pick])

    def __len__(self) -> int:
        return len(self.value)

    def expand(self, frames: int) -> Keypoints:
        """Repeat one frame's points for `frames` frames without copying."""
        return self.map(lambda x: x.expand(frames, *x.shape[1:]))

    def mean(self) -> Keypoints:
        """The temporal mean, one frame."""
        return self.map(lambda x: x.mean(0, keepdim=True))


class KPDetector(nn.Module):
    """Frames in [0, 1] to keypoints with jacobians.

    Args:
        num_kp: K.
        block_expansion, max_features, num_blocks: the hourglass.
        num_channels: image channels.
        temperature: of the softmax over pixels.
        estimate_jacobian: also predict the local affine frame of each point.
        single_jacobian_map: one jacobian map shared by all points (the public MGIF weights) or one for each.
        scale_factor: the image is reduced by this before the hourglass.
        pad: padding of the 7x7 heads; 0 for the public weights, 3 when training anew.
    """

    def __init__(
        self,
        num_kp: int = 10,
        block_expansion: int = 32,
        max_features: int = 1024,
        num_blocks: int = 5,
        num_channels: int = 3,
        temperature: float = 0.1,
        estimate_jacobian: bool = True,
        single_jacobian_map: bool = False,
        scale_factor: float = 0.25,
        pad: int = 3,
    ) -> None:
        super().__init__()
        self.predictor = Hourglass(block_expansion, num_channels, num_blocks, max_features)
        self.kp = nn.Conv2d(self.predictor.out_channels, num_kp, 7, padding=pad)
        self.maps = 1 if single_jacobian_map else num_kp
        self.jacobian: nn.Conv2d | None = None
        if estimate_jacobian:
            self.jacobian = nn.Conv2d(self.predictor.out_channels, 4 * self.maps, 7, padding=pad)
            nn.init.zeros_(self.jacobian.weight)
            assert self.jacobian.bias is not None
            with torch.no_grad():
                self.jacobian.bias.copy_(torch.tensor([1.0, 0, 0, 1] * self.maps))
        self.down = AntiAlias(num_channels, scale_factor) if scale_factor != 1 else None
        self.num_kp = num_kp
        self.temperature = temperature
        self.frame_size: int | None = None  # side of the frames that it learnt on, when the weights tell

    def features(self, frames: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to the hourglass features (N, b + C, H*s, W*s)."""
        return self.predictor(frames if self.down is None else self.down(frames))

    def heatmap(self, features: Tensor) -> Tensor:
        """Features to one distribution over pixels for each point, (N, K, h, w)."""
        logits = self.kp(features).float() / self.temperature
        return F.softmax(logits.flatten(2), dim=2).view(logits.shape)  # (N,K,hw) -> (N,K,h,w)

    def read(self, features: Tensor, heatmap: Tensor) -> Keypoints:
        """Expected position and expected jacobian under each heatmap."""
        weights = heatmap.flatten(2)  # (N,K,hw)
        grid = identity_grid(*heatmap.shape[-2:]).to(weights)
        with exact(weights):
            value = weights @ grid.flatten(0, 1)  # (N,K,2)
        if self.jacobian is None:
            return Keypoints(value)
        maps = self.jacobian(features).float().flatten(2)  # (N,maps*4,hw)
        maps = maps.unflatten(1, (self.maps, 4)).expand(-1, self.num_kp, -1, -1)  # (N,K,4,hw)
        with exact(weights):
            jacobian = torch.einsum("nkp,nkcp->nkc", weights, maps)  # (N,K,4)
        return Keypoints(value, jacobian.unflatten(-1, (2, 2)))  # (N,K,2,2)

    def spread(self, heatmap: Tensor) -> Tensor:
        """How far the heatmaps (N, K, h, w) spread, (N,): the mean of their standard deviations, units of [-1, 1]."""
        weights, grid = heatmap.flatten(2), identity_grid(*heatmap.shape[-2:]).to(heatmap).flatten(0, 1)  # (hw,2)
        variance = weights @ grid.square().sum(-1) - (weights @ grid).square().sum(-1)  # (N,K)
        return variance.clamp_min(0).sqrt().mean(1)

    def forward(self, frames: Tensor) -> Keypoints:
        """(N, C, H, W) in [0, 1] to the keypoints of N frames."""
        features = self.features(frames)
        return self.read(features, self.heatmap(features))


def local_jacobians(value: Tensor, reference: Tensor, neighbours: int = 3) -> Tensor:
    """Jacobians for points that come without: least-squares affine of each point's nearest neighbours.

    Args:
        value: (N, K, 2) points of every frame.
        reference: (K, 2) points of the rest frame, whose jacobians are the identity.
        neighbours: how many nearest points (in the reference) to fit; fewer than 2 give the identity.

    Returns:
        (N, K, 2, 2).
    """
    frames, points, _ = value.shape
    eye = torch.eye(2).to(value)
    count = min(neighbours, points - 1)
    if count < 2:
        return eye.expand(frames, points, 2, 2).clone()
    distance = torch.cdist(reference, reference) + torch.eye(points).to(value) * 1e9
    near = distance.topk(count, largest=False).indices  # (K,n)
    rest = reference[near] - reference[:, None]  # (K,n,2)
    now = value[:, near] - value[:, :, None]  # (N,K,n,2)
    # A pull towards the identity, in units of the neighbours' spread, decides where the neighbours lie on a line.
    ridge = 0.02 * rest.square().sum((1, 2))[:, None, None] * eye  # (K,2,2)
    gram = rest.transpose(1, 2) @ rest + ridge  # (K,2,2)
    cross = torch.einsum("fkni,knj->fkij", now, rest) + ridge  # (N,K,2,2)
    return cross @ torch.linalg.inv(gram + 1e-8 * eye)  # (N,K,2,2)
