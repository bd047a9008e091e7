"""The video UNet that repaints: an image model inflated as the paper has it, or a video model as it is.

On Stable Diffusion the UNet is inflated as in Tune-A-Video (AnaMoDiff section 3.3). AnimateDiff and ModelScope bring
layers along time that are trained already: those stay, and self-attention looks at the anchor and at the neighbouring
frame as in the inflated UNet, which is what keeps the character's look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from motionkit.backbones.adapters import add_lora
from motionkit.backbones.base import attention_sites
from motionkit.backbones.inflate import FrameContext, SparseCausalProcessor, VideoUNet, inflate, join_group_norms

from .config import LoraConfig, VideoConfig

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext

TEMPORAL_OUT = "attn_temp.to_out.0.base_layer."
_ROLES = {"attn1": "spatial_self", "attn2": "cross", "attn_temp": "temporal_self"}


@dataclass
class VideoModel:
    """A UNet that takes clips whole, and what its sparse self-attention shares."""

    unet: Any
    context: FrameContext


Net = VideoUNet | VideoModel


def build(backbone: VideoBackbone, lora: LoraConfig, video: VideoConfig, run: RunContext) -> Net:
    """A fresh UNet with adapters: B is zero, so it begins as the backbone's own; same seed, same start."""
    inflated = backbone.spec.inflatable
    if run.plan.attention != "sdpa":
        where = "text, sdpa between frames and over time" if inflated else "text and over time, sdpa between frames"
        run.note("attention", f"{run.plan.attention} for {where}")
    targets = [target.strip() for target in lora.targets.split(",")] if lora.steps else []
    unet = backbone.fresh_unet(own=_folded(backbone, targets))
    net = _inflated(unet, video, run) if inflated else _own(unet, backbone, video, run)
    if targets:
        layers = rf".*\.({'|'.join(targets)})\.(to_q|to_k|to_v|to_out\.0)" if inflated else _layers(net.unet, targets)
        add_lora(net.unet, layers, lora.rank, run.generator("lora").initial_seed())
        for name, weight in net.unet.named_parameters():
            weight.requires_grad_("lora_" in name or TEMPORAL_OUT in name)
    return net


def _folded(backbone: VideoBackbone, targets: list[str]) -> set[str]:
    """The backbone's weights that the adapters are folded into once they are tuned, which is done in float32 alone.

    All others stay as they are, and share the backbone's memory.
    """
    if backbone.dtype != torch.float32:
        return set()
    return {f"{layer}.weight" for layer in _layers(backbone.unet, targets)}


def _inflated(unet: Any, video: VideoConfig, run: RunContext) -> VideoUNet:
    return inflate(
        unet,
        joint_groupnorm=video.joint_groupnorm,
        temporal_init=video.temporal_init,
        generator=run.generator("temporal"),
    )


def _own(unet: Any, backbone: VideoBackbone, video: VideoConfig, run: RunContext) -> VideoModel:
    """A copy of the backbone's UNet with sparse-causal self-attention; its layers along time are its own."""
    run.note("layers_along_time", f"{backbone.spec.name}'s own")
    context = FrameContext()
    for site in attention_sites(unet, "spatial_self"):
        site.module.set_processor(SparseCausalProcessor(context))
    if video.joint_groupnorm:
        join_group_norms(unet, context)
    return VideoModel(unet, context)


def _layers(unet: Any, targets: list[str]) -> list[str]:
    """Names of the projections of every attention of a role; both attentions of a motion module look along time."""
    sites = [site.name for target in targets for site in attention_sites(unet, _ROLES[target])]
    return [f"{site}.{layer}" for site in sites for layer in ("to_q", "to_k", "to_v", "to_out.0")]
