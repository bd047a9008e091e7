"""Figure and ground without a name: BiRefNet, which keeps what stands in front (Zheng et al. 2024, 2401.03407).

Code and weights are MIT. The authors' own code is not run: the network is written here from the paper and from the
names of its tensors, and filled strictly. The published network and its `lite` one differ in the size of the encoder
alone, which the file tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from motionkit.perception import networks, rmbg
from motionkit.perception.swin import Swin

_INNER, _LOOKED = 64, 256  # channels inside a block of the decoder, and in each of its parallel looks
_KERNELS = (1, 3, 7)
_EDGES = 16  # channels that tell where edges are
# In the file, but of no use: what is looked at in training alone, and what follows from the sizes.
_IDLE = ("decoder.conv_ms_spvn_", "decoder.gdt_convs_pred_")
_MADE = ("num_batches_tracked", "relative_position_index")


class Deformable(nn.Module):
    """A convolution whose taps move and weigh by what is in the picture (Zhu et al. 2018, 1811.11168)."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        taps, pad = kernel * kernel, kernel // 2
        self.offset_conv = nn.Conv2d(channels, 2 * taps, kernel, padding=pad)
        self.modulator_conv = nn.Conv2d(channels, taps, kernel, padding=pad)
        self.regular_conv = nn.Conv2d(channels, out, kernel, padding=pad, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w); beyond the border there are zeros."""
        offset, weigh = self.offset_conv(x), 2 * self.modulator_conv(x).sigmoid()
        weight, (height, width) = self.regular_conv.weight, x.shape[2:]
        kernel, down = weight.shape[-1], torch.arange(height, device=x.device)[:, None]
        right, out = torch.arange(width, device=x.device), x.new_zeros(())
        for tap in range(kernel * kernel):
            i, j = divmod(tap, kernel)
            rows = down + i - kernel // 2 + offset[:, 2 * tap]  # (B, h, w)
            columns = right + j - kernel // 2 + offset[:, 2 * tap + 1]  # (B, h, w)
            places = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)  # (B, h, w, 2)
            seen = functional.grid_sample(x, places, align_corners=False) * weigh[:, tap : tap + 1]
            out = out + functional.conv2d(seen, weight[:, :, i : i + 1, j : j + 1])  # (B, out, h, w)
        return out


class Look(nn.Module):
    """A deformable convolution with batch norm and ReLU."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.atrous_conv, self.bn = Deformable(_INNER, _LOOKED, kernel), nn.BatchNorm2d(_LOOKED)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w)."""
        return functional.relu(self.bn(self.atrous_conv(x)))


class Pyramid(nn.Module):
    """Looks of several reaches, and at the whole picture, brought together."""

    def __init__(self) -> None:
        super().__init__()
        self.aspp1, self.aspp_deforms = Look(1), nn.ModuleList(Look(kernel) for kernel in _KERNELS)
        whole = nn.Conv2d(_INNER, _LOOKED, 1, bias=False)
        self.global_avg_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), whole, nn.BatchNorm2d(_LOOKED), nn.ReLU())
        self.conv1 = nn.Conv2d((2 + len(_KERNELS)) * _LOOKED, _INNER, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_INNER)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        looks = [look(x) for look in (self.aspp1, *self.aspp_deforms)]
        whole = self.global_avg_pool(x).expand_as(looks[0])
        return functional.relu(self.bn1(self.conv1(torch.cat([*looks, whole], 1))))


class DecoderBlock(nn.Module):
    """A convolution in, the pyramid, a convolution out."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv_in, self.bn_in = nn.Conv2d(channels, _INNER, 3, padding=1), nn.BatchNorm2d(_INNER)
        self.dec_att = Pyramid()
        self.conv_out, self.bn_out = nn.Conv2d(_INNER, out, 3, padding=1), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, out, h, w)."""
        return self.bn_out(self.conv_out(self.dec_att(functional.relu(self.bn_in(self.conv_in(x))))))


class Decoder(nn.Module):
    """From the coarsest map to the picture's size; each level sees the picture itself too, cut into patches.

    Args:
        c: channels of the maps, the coarsest first.
    """

    def __init__(self, c: list[int]) -> None:
        super().__init__()
        seen = [c[0] // 8, c[0] // 8, c[1] // 8, c[2] // 8, c[3] // 8]
        for level, patch, out in zip((5, 4, 3, 2, 1), (32, 16, 8, 4, 1), seen, strict=True):
            held = {
                "conv1": nn.Conv2d(3 * patch * patch, 64, 3, padding=1),
                "conv_out": nn.Conv2d(64, out, 3, padding=1),
            }
            setattr(self, f"ipt_blk{level}", nn.ModuleDict(held))
        for level, more, channels, out in zip((4, 3, 2, 1), seen, c, [*c[1:], c[3] // 2], strict=False):
            setattr(self, f"decoder_block{level}", DecoderBlock(channels + more, out))
        for level, out in zip((4, 3, 2), c[1:], strict=True):
            setattr(self, f"lateral_block{level}", nn.ModuleDict({"conv": nn.Conv2d(out, out, 1)}))
            edges = nn.Sequential(nn.Conv2d(out, _EDGES, 3, padding=1), nn.BatchNorm2d(_EDGES), nn.ReLU())
            setattr(self, f"gdt_convs_{level}", edges)
            setattr(self, f"gdt_convs_attn_{level}", nn.Sequential(nn.Conv2d(_EDGES, 1, 1)))
        self.conv_out1 = nn.Sequential(nn.Conv2d(c[3] // 2 + seen[4], 1, 1))

    def forward(self, pixels: Tensor, maps: list[Tensor]) -> Tensor:
        """Pixels (B, 3, H, W) and the encoder's maps, the finest first, to logits (B, 1, H, W)."""
        part, x = self._part, maps[-1]
        for level, finer in zip((4, 3, 2), reversed(maps[:-1]), strict=True):
            x = part(f"decoder_block{level}", self._with_picture(x, pixels, level + 1))
            x = x * part(f"gdt_convs_attn_{level}", part(f"gdt_convs_{level}", x)).sigmoid()
            x = _to(x, finer) + self.get_submodule(f"lateral_block{level}.conv")(finer)
        x = _to(part("decoder_block1", self._with_picture(x, pixels, 2)), pixels)
        return self.conv_out1(self._with_picture(x, pixels, 1))

    def _part(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(name)(x)

    def _with_picture(self, x: Tensor, pixels: Tensor, level: int) -> Tensor:
        """(B, C, h, w), and behind it what is seen of the picture, whose patches of one place are its channels."""
        rows, columns = (whole // own for whole, own in zip(pixels.shape[2:], x.shape[2:], strict=True))
        cut = rearrange(pixels, "b c (r h) (s w) -> b (c r s) h w", r=rows, s=columns)  # (B, 3 r s, h, w)
        name = f"ipt_blk{level}"
        return torch.cat([x, self._part(f"{name}.conv_out", self._part(f"{name}.conv1", cut))], 1)


class BiRefNet(nn.Module):
    """The encoder at two sizes of the picture, one block that sees all scales, and the decoder.

    Args:
        encoder: of four scales with `width`, 2 `width`, ... channels.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        c = [2 * width << i for i in (3, 2, 1, 0)]
        self.bb = encoder
        self.squeeze_module = nn.Sequential(DecoderBlock(sum(c), c[0]))
        self.decoder = Decoder(c)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W), sides multiples of 64, to logits of the foreground, (B, 1, H, W)."""
        half = _to(pixels, pixels[..., ::2, ::2])
        maps = [torch.cat([x, _to(y, x)], 1) for x, y in zip(self.bb(pixels), self.bb(half), strict=True)]
        every = torch.cat([*[_to(x, maps[-1]) for x in maps[:-1]], maps[-1]], 1)
        return self.decoder(pixels, [*maps[:-1], self.squeeze_module(every)])


def _to(x: Tensor, other: Tensor) -> Tensor:
    """(B, C, h, w) at the other's size."""
    return functional.interpolate(x, other.shape[2:], mode="bilinear", align_corners=True)


def build(state: Mapping[str, Tensor]) -> BiRefNet:
    """The network of a file's tensors, without their values. Raises: KeyError for another network's."""
    width, found = len(state["bb.patch_embed.proj.weight"]), list[tuple[int, int]]()
    for scale in range(4):
        blocks = {name.split(".")[4] for name in state if name.startswith(f"bb.layers.{scale}.blocks.")}
        found.append((len(blocks), state[f"bb.layers.{scale}.blocks.0.attn.relative_position_bias_table"].shape[1]))
    table = state["bb.layers.0.blocks.0.attn.relative_position_bias_table"]
    depths, heads = zip(*found, strict=True)
    return BiRefNet(Swin(width, depths, heads, (round(len(table) ** 0.5) + 1) // 2), width)


class BiRefNetMasks(rmbg.Rmbg):
    """Masks of what stands in front, each frame on its own."""

    network = networks.BIREFNET
    usual = networks.IMAGENET

    def load(self, path: str | None, device: Any) -> tuple[nn.Module, Path]:
        """The network in eval mode and its folder. Raises: as `rmbg.filled`."""
        return rmbg.filled(self.network, path, build, device, _IDLE, _MADE)
