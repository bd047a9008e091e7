"""A UNet with the method's processors, guided by the maps of one or several subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from motionkit.backbones.mixed_precision import mixed

from .config import GuideConfig
from .guide import MotionGuide
from .inject import Injection, Subject, install
from .maps import GuideMaps, compose
from .options import GuideOptions
from .pack import Pack, add_pack, changed_names
from .unets import own_unet

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

SOFTNESS = 0.03  # of the picture's diagonal: how wide the seam between two subjects' places is


@dataclass
class GuidedUNet:
    """What denoises: a UNet of the method's own, its processors, one guide and one set of maps for each subject.

    Attributes:
        gates: where in the picture each subject's guide counts, (F, H, W); None is everywhere.
        scale: lambda; 0 without a guide.
        centre: subtract phi's mean over time.
    """

    backbone: VideoBackbone
    unet: Any
    injection: Injection
    guides: nn.ModuleList
    maps: Sequence[GuideMaps]
    gates: Sequence[Tensor | None]
    scale: float
    centre: bool

    def guide(self, factor: float = 1.0) -> None:
        """Give the UNet the motion of the maps for its next calls, at `factor` times lambda."""
        device = self.backbone.device
        subjects = [
            Subject(guide(m.image.to(device), m.mask.to(device)), gate)
            for guide, m, gate in zip(self.guides[: len(self.maps)], self.maps, self.gates, strict=True)
        ]
        self.injection.guide(*subjects, scale=self.scale * factor, centre=self.centre)

    def denoise(self, latents: Tensor, t: float | Tensor, text: Tensor) -> Tensor:
        """`VideoBackbone.denoise` through this UNet; tuned weights are float32 whatever the others are."""
        self.injection.look(latents)
        with mixed(self.backbone):
            return self.backbone.denoise(latents, t, text, unet=self.unet)


def guide_options(config: GuideConfig) -> GuideOptions:
    """MotionGuide's design as the settings have it."""
    return GuideOptions(inputs="product" if config.inputs == "off" else config.inputs, heads=config.heads)


def maps_of(prepared: Mapping[str, Tensor], inputs: str) -> list[GuideMaps]:
    """Each subject's maps, from the output of `prepare`, for guides that see `inputs`; none when it is "off"."""
    if inputs == "off":
        return []
    found = []
    for i in range(len(prepared["masks"])):
        image, mask = prepared[f"image.{i}"], prepared[f"small.{i}"].float()
        found.append(GuideMaps(compose(image[:, :3], image[:, 3:], mask, inputs), mask))
    return found


def gates_of(masks: Tensor) -> list[Tensor | None]:
    """Where each subject's guide counts: the places that are nearer to it than to the others, with soft seams.

    A single subject's counts everywhere, as in the paper. Places and not silhouettes divide the picture, so that a
    subject's shape does not leak to the one that takes its place.

    Args:
        masks: (S, F, 1, H, W) of 0 and 1.

    Returns:
        For each subject (F, H, W) in [0, 1]; they add up to 1.
    """
    if len(masks) == 1:
        return [None]
    height, width = masks.shape[-2:]
    seam = SOFTNESS * float(np.hypot(height, width))
    away = torch.stack([torch.stack([_distance(frame[0]) for frame in subject]) for subject in masks])  # (S,F,H,W)
    return list((-away / seam).softmax(0))


def _distance(mask: Tensor) -> Tensor:
    """Pixels from each place to the mask (H, W); a constant where there is no mask."""
    if not mask.any():
        return torch.full(mask.shape, float(sum(mask.shape)))
    outside = (mask <= 0.5).cpu().numpy().astype(np.uint8)
    return torch.from_numpy(cv2.distanceTransform(outside, cv2.DIST_L2, 5))


def tuned_unet(
    backbone: VideoBackbone, pack: Pack, maps: Sequence[GuideMaps], gates: Sequence[Tensor | None], sites: GuideConfig
) -> GuidedUNet:
    """The UNet of a backbone with a pack's tuned weights; without maps nothing is guided.

    Args:
        sites: says which attentions are guided.
    """
    names = changed_names(pack)
    unet = own_unet(backbone, names)
    for name, weight in unet.named_parameters():
        if name in names:
            weight.data = weight.data.float()
    add_pack(unet, pack)
    injection = install(unet, sites.sites, sites.blocks)
    guides = nn.ModuleList(pack.build_guides()) if maps else nn.ModuleList()
    scale = pack.facts.scale if maps else 0.0
    guides.to(backbone.device)
    return GuidedUNet(backbone, unet, injection, guides, maps, gates[: len(maps)], scale, pack.facts.centre)


def fresh_guides(injection: Injection, config: GuideConfig, count: int, seed: int) -> nn.ModuleList:
    """`count` untuned guides; the first is what a single subject would get."""
    options = guide_options(config)
    return nn.ModuleList([MotionGuide(injection.sites, options, seed + i) for i in range(count)])
