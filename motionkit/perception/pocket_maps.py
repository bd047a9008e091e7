"""Mask, depth order and part correspondence of sprite-like frames by one small network trained on the sprite world.

It knows that world only, and labels itself so: its own error on held-out truth is `PocketMaps.figures`. A part is one
of the twelve bones; a place on it is the world's pair (along the bone, across it), each in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.errors import UserError
from motionkit.perception.pocket_networks import conv_block
from motionkit.sprites.skeleton import BONES
from motionkit.weights import places
from motionkit.weights.small_nets import load_net

SIZE = 128  # long side at which the network looks
PARTS = len(BONES)
_BATCH = 16  # frames at once, to bound memory
_BLOCK = 1024  # pixels matched at once
NEAR = 0.03  # chosen on the val split, of 0, 0.03, 0.1 and 0.3
STIFF = 12  # pixels of a part that can tell how it turned


class MapsNet(nn.Module):
    """A small U-Net: frames (B, 3, 128, 128) in [0, 1] to mask, depth, parts and places of every pixel.

    Half a million weights, seen at 64, 32, 16 and 8 pixels; what the whole picture shows is added at the bottom, as
    the place of a part depends on the kind of character.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 80, 112)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.at64 = nn.Sequential(nn.PixelUnshuffle(2), conv_block(12, a), conv_block(a, a))
        self.at32 = nn.Sequential(conv_block(a, b, 2), conv_block(b, b))
        self.at16 = nn.Sequential(conv_block(b, c, 2), conv_block(c, c))
        self.at8 = nn.Sequential(conv_block(c, d, 2), conv_block(d, d), conv_block(d, d))
        self.whole = nn.Linear(d, d)
        self.side = nn.ModuleList(conv_block(m, n, side=1) for m, n in ((d, c), (c, b), (b, a)))
        self.up = nn.ModuleList(conv_block(n, n) for n in (c, b, a))
        self.head = nn.Sequential(conv_block(a, a), nn.Conv2d(a, 4 * (4 + PARTS), 1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mask logits (B, H, W), depth (B, H, W) in [0, 1], part logits (B, 12, H, W), places (B, 2, H, W) in [0, 1].

        Args:
            x: (B, 3, H, W) in [0, 1]; H and W are multiples of 16.
        """
        at64 = self.at64(x - 0.5)
        at32 = self.at32(at64)
        at16 = self.at16(at32)
        y = self.at8(at16)
        y = y + self.whole(y.mean((2, 3)))[..., None, None]
        for side, up, skip in zip(self.side, self.up, (at16, at32, at64), strict=True):
            y = up(F.interpolate(side(y), scale_factor=2.0) + skip)
        out = self.head(y).float()
        return out[:, 0], out[:, 1].sigmoid(), out[:, 4:], out[:, 2:4].sigmoid()


@dataclass(frozen=True)
class PocketReading:
    """The network's output for a clip of F frames of H x W pixels.

    Attributes:
        mask: (F, H, W) float32 in [0, 1], probability that a pixel shows a character.
        depth: (F, H, W) float32 in [0, 1], painter's order, larger is nearer; 0 where mask <= 0.5.
        part: (F, H, W) int16, bone in the order of `motionkit.sprites.BONES`; -1 where mask <= 0.5.
        coordinates: (F, H, W, 2) float32 in [0, 1], place along and across the bone; 0 where mask <= 0.5.
    """

    mask: np.ndarray
    depth: np.ndarray
    part: np.ndarray
    coordinates: np.ndarray


class PocketMaps:
    """The trained network with its own measured error (`figures`); made by `PocketMaps.load`."""

    def __init__(self, net: MapsNet, figures: dict[str, float]) -> None:
        self.net, self.figures = net.eval().requires_grad_(False), figures

    @staticmethod
    def load(path: Path | None = None) -> PocketMaps:
        """The shipped network, or that of `path`.

        Raises:
            MissingWeights: no such file.
            UserError: not a file of this network.
        """
        return _load(path or weights_path())

    @torch.no_grad()
    def maps(self, frames: np.ndarray, device: torch.device | str = "cpu") -> PocketReading:
        """Run on a clip of any size; the long side is resized to 128 pixels and back.

        Args:
            frames: (F, H, W, 3) uint8 RGB.
            device: where the network runs.

        Raises:
            ValueError: not a video.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
            raise ValueError(f"a video is (F, H, W, 3) uint8, got {frames.dtype} {frames.shape}")
        net = self.net.to(device)
        parts = [self._read(net, frames[i : i + _BATCH], device) for i in range(0, len(frames), _BATCH)]
        return PocketReading(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    @staticmethod
    def _read(net: MapsNet, frames: np.ndarray, device: torch.device | str) -> list[np.ndarray]:
        x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).to(device).float() / 255  # (f,3,H,W)
        size = (x.shape[2], x.shape[3])
        inside = network_size(*size)
        if inside != size:
            x = F.interpolate(x, inside, mode="bilinear", antialias=True, align_corners=False)
        # Filled up by its own border: bars of another colour would be an edge to see.
        padded = F.pad(x, (0, -inside[1] % 16, 0, -inside[0] % 16), mode="replicate")
        mask, depth, part, place = (v[..., : inside[0], : inside[1]] for v in net(padded))
        return [v.cpu().numpy() for v in enlarged(mask, depth, part, place, size)]


def network_size(height: int, width: int) -> tuple[int, int]:
    """Height and width with a long side of 128 pixels, neither below 1."""
    scale = SIZE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def enlarged(mask: Tensor, depth: Tensor, part: Tensor, place: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """The network's output as a `PocketReading`, at another size (H, W).

    Depth and places are averaged between pixels of one part only: the mean of two parts' places has no meaning.

    Args:
        mask: logits (f, h, w).  depth: (f, h, w).  part: logits (f, 12, h, w).  place: (f, 2, h, w).
    """
    seen, chance = mask.sigmoid(), part.softmax(1)
    if tuple(mask.shape[1:]) == size:
        code = chance.argmax(1)
    else:
        own = F.one_hot(chance.argmax(1), PARTS).movedim(-1, 1).float()  # (f,12,h,w)
        own = own * (seen > 0.25)[:, None]
        values = torch.cat([depth[:, None], place], 1)  # (f,3,h,w)
        seen, code = _grow(seen[:, None], size)[:, 0], _grow(chance * (seen > 0.25)[:, None], size).argmax(1)
        grown = torch.zeros(len(mask), 3, *size, device=mask.device)
        for p in range(PARTS):
            weight = _grow(own[:, p : p + 1], size)
            near = _grow(own[:, p : p + 1] * values, size) / weight.clamp_min(1e-4)
            grown = torch.where((code == p)[:, None] & (weight > 1e-3), near, grown)
        depth, place = grown[:, 0], grown[:, 1:]
    on = seen > 0.5
    code = torch.where(on, code, -1).to(torch.int16)
    return seen, depth * on, code, (place * on[:, None]).permute(0, 2, 3, 1)  # (f,H,W,2)


def _grow(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def match(reading: PocketReading, reference: int = 0, near: float = NEAR, rigid: bool = True) -> np.ndarray:
    """Where each pixel of the characters is in the reference frame.

    A pixel goes to the reference pixel of its own part whose place along and across the bone is nearest; then each part
    moves as one rigid piece, as bones do, by the turn and shift that most of its pixels agree on. A part that the
    reference frame does not show goes where the nearest pixel of its own frame goes that has a match.

    Args:
        reading: from `PocketMaps.maps`.
        reference: which frame the places are in.
        near: how much a squared distance of a whole frame counts beside the squared distance of places; 0 for a clip
            whose subject may be anywhere.
        rigid: whether parts are rigid.

    Returns:
        (F, H, W, 2) float32, (x, y) pixels; NaN where there is no character.

    Raises:
        UserError: the reference frame shows no character.
    """
    if not (reading.part[reference] >= 0).any():
        raise UserError("the first frame shows no subject to refer to: start the clip where the subject is seen")
    out = np.full((*reading.part.shape, 2), np.nan, np.float32)
    for p in range(PARTS):
        spots, there = _codes(reading, reference, p, near)
        if not len(spots):
            continue
        for f in range(len(out)):
            here, codes = _codes(reading, f, p, near)
            if not len(here):
                continue
            nearest = torch.cat([torch.cdist(block, there).argmin(1) for block in codes.split(_BLOCK)])
            found = spots[nearest.numpy()]
            found = stiff(here, found) if rigid and len(here) >= STIFF else found
            out[f, here[:, 1].astype(int), here[:, 0].astype(int)] = found.clip(0, [out.shape[2] - 1, out.shape[1] - 1])
    for frame, codes in zip(out, reading.part, strict=True):
        _fill(frame, codes >= 0)
    return out


def _codes(reading: PocketReading, frame: int, part: int, near: float) -> tuple[np.ndarray, Tensor]:
    """Pixels (n, 2) of a part in a frame, x first, and what they are matched by (n, 4)."""
    ys, xs = np.nonzero(reading.part[frame] == part)
    pixels = np.stack([xs, ys], -1).astype(np.float32)  # (n,2)
    scaled = pixels / max(reading.part.shape[1:]) * near**0.5
    return pixels, torch.from_numpy(np.concatenate([reading.coordinates[frame, ys, xs], scaled], 1).astype(np.float32))


def stiff(here: np.ndarray, there: np.ndarray, rounds: int = 4) -> np.ndarray:
    """Places (n, 2) after the one turn and shift that brings pixels (n, 2) best to `there` (n, 2).

    Least squares with Cauchy weights at twice the median distance, so that a few wrong matches count little.
    """
    a, b = (points.astype(np.float64) @ [1, 1j] for points in (here, there))  # (n,)
    weight, moved = np.ones(len(a)), b
    for _ in range(rounds):
        share = weight / weight.sum()
        from_, to = (share * a).sum(), (share * b).sum()
        turn = (share * (b - to) * (a - from_).conj()).sum()
        if abs(turn) < 1e-9:  # all pixels go to one place: the rotation is undefined
            return there
        moved = turn / abs(turn) * (a - from_) + to
        away = abs(b - moved)
        weight = 1 / (1 + (away / (2 * max(float(np.median(away)), 0.5))) ** 2)
    return np.stack([moved.real, moved.imag], -1).astype(np.float32)  # (n,2)


def _fill(points: np.ndarray, subject: np.ndarray) -> None:
    """Gives subject pixels without a match the match of the nearest pixel that has one (in place)."""
    without = np.isnan(points[..., 0])
    if not (subject & without).any() or without.all():
        return
    _, labels = cv2.distanceTransformWithLabels(
        without.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(labels.max() + 1, np.int64)
    owner[labels[~without]] = np.flatnonzero(~without)
    wanted = subject & without
    points[wanted] = points.reshape(-1, 2)[owner[labels[wanted]]]  # (n, 2)


def weights_path() -> Path:
    """The path of the shipped file."""
    return places.assets() / "perception" / "pocket_maps.safetensors"


@lru_cache(maxsize=2)
def _load(path: Path) -> PocketMaps:
    net, figures = load_net(path, MapsNet, "pocket maps", "train them with `make train-pocket-maps`")
    assert isinstance(net, MapsNet)
    return PocketMaps(net, figures)
