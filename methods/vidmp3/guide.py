"""MotionGuide: one motion vector for each frame, from correspondence and depth of the subject (VIDMP3 section 3.1).

The paper gives the outline (convolutions on C x D, positional encoding, another convolution, average pooling, division
by the subject's share of the picture, a zero-initialised final linear layer); widths and strides are ours.

Pooling and division together are the mean over the subject's pixels, whatever its size, but only where the background
contributes exactly nothing. So no convolution has a bias, the activation keeps zero, and the encoding is masked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.weights.building import drawing

from .options import GuideOptions

LEAST_ALPHA = 1e-3  # share of the picture: a subject of a few pixels must not blow up its vector


class MotionTrunk(nn.Module):
    """Maps to motion vectors: the guide without its final linear layers."""

    def __init__(self, options: GuideOptions | None = None) -> None:
        super().__init__()
        self.options = o = options or GuideOptions()
        first, second, third = o.stem
        layers: list[nn.Module] = []
        for before, after, stride in ((o.channels, first, 2), (first, second, 2), (second, third, 1)):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=o.bias), nn.ReLU()]
        self.stem = nn.Sequential(*layers)
        self.post = nn.Conv2d(third + o.encoding * o.position, o.post, 3, 1, 1, bias=o.bias)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """One vector for each frame.

        Args:
            image: (F, C, h, w), zero outside the subject (`maps.compose`).
            mask: (F, 1, h, w), 1 on the subject and 0 elsewhere.

        Returns:
            (F, post). A frame without subject gets the vectors of its neighbours, interpolated over time.

        Raises:
            ValueError: other shapes, or no subject in any frame.
        """
        o = self.options
        if image.shape[1] != o.channels or mask.shape != (len(image), 1, *image.shape[2:]):
            raise ValueError(f"MotionGuide needs {o.channels} channels and a mask, got {image.shape} and {mask.shape}")
        x = self.stem(image)
        if o.position:
            share = F.adaptive_avg_pool2d(mask.to(x), x.shape[2:]) if o.mask_position else torch.ones_like(x[:, :1])
            place = encode_position(x.shape[2], x.shape[3], o.encoding).to(x)
            x = torch.cat([x, place * share], 1)  # (F, third + encoding, h/4, w/4)
        x = self.post(x)
        x = x.relu() if o.activate else x
        vectors = masked_mean(x, mask) if o.divide else x.mean((2, 3))
        return fill_gaps(vectors, mask.flatten(1).any(1))  # (F,post); the mask's any: (F,)


class MotionGuide(nn.Module):
    """The trunk, and the final linear layers that give every temporal attention its phi; all zero in the beginning."""

    def __init__(self, sites: Mapping[str, int], options: GuideOptions | None = None, seed: int = 0) -> None:
        """
        Args:
            sites: name of each temporal attention that gets a phi -> its channels (`inject.guide_sites`).
            seed: of the first weights, drawn apart from the global generator.
        """  # noqa: D205, D212
        super().__init__()
        self.sites = dict(sites)
        self.options = o = options or GuideOptions()
        with drawing(seed):
            self.trunk = MotionTrunk(o)
            self.final = _zero(nn.Linear(o.post, o.post, bias=o.bias)) if o.heads == "shared" else None
            self.heads = nn.ModuleDict()
            for name, width in self.sites.items():
                head = nn.Linear(o.post, width, bias=o.bias)
                self.heads[self._head(name)] = head if o.heads == "shared" else _zero(head)

    def _head(self, site: str) -> str:
        return f"w{self.sites[site]}" if self.options.heads == "per_width" else site.replace(".", "_")

    def forward(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Maps as for `MotionTrunk` to phi (F, C) for each site; sites that share a head share the tensor."""
        vectors = self.trunk(image, mask)
        if self.final is not None:
            vectors = self.final(vectors)
        each = {name: head(vectors) for name, head in self.heads.items()}
        return {site: each[self._head(site)] for site in self.sites}


def _zero(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def encode_position(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines of y and x in [0, 1] (pixel centres of the outer pixels at 0 and 1), (channels, h, w).

    Angular frequencies fall from 2 pi to 2 pi / 100 on a logarithmic scale, channels / 4 of them.
    """
    frequencies = 2 * math.pi * torch.logspace(0, -2, channels // 4)  # (n,)
    y, x = (torch.linspace(0, 1, n)[None] * frequencies[:, None] for n in (height, width))  # (n,h), (n,w)
    planes = [wave(y)[:, :, None].expand(-1, -1, width) for wave in (torch.sin, torch.cos)]
    planes += [wave(x)[:, None].expand(-1, height, -1) for wave in (torch.sin, torch.cos)]
    return torch.cat(planes)  # (4n,h,w)


def masked_mean(features: Tensor, mask: Tensor) -> Tensor:
    """Average over the picture divided by alpha, the share that the subject has of it.

    For features that are zero outside the subject this is the mean over the subject's pixels.

    Args:
        features: (F, C, h, w).
        mask: (F, 1, H, W) at any resolution.

    Returns:
        (F, C).
    """
    alpha = mask.to(features).mean((2, 3)).clamp_min(LEAST_ALPHA)  # (F,1)
    return features.mean((2, 3)) / alpha


def fill_gaps(vectors: Tensor, seen: Tensor) -> Tensor:
    """Vectors (F, C) with those of unseen frames interpolated over time from the seen ones, flat at both ends.

    Raises:
        ValueError: no frame is seen.
    """
    if seen.all():
        return vectors
    known = seen.nonzero()[:, 0].tolist()
    if not known:
        raise ValueError("no frame shows the subject: its mask is empty")
    weights = vectors.new_zeros(len(vectors), len(vectors))
    for frame in range(len(vectors)):
        left = max((k for k in known if k <= frame), default=known[0])
        right = min((k for k in known if k >= frame), default=known[-1])
        share = (frame - left) / (right - left) if right > left else 0.0
        weights[frame, left] += 1 - share
        weights[frame, right] += share
    return weights @ vectors
