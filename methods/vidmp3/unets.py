"""The UNet that is tuned: a copy of a video model's, or an image model's with new layers along time.

The paper tunes AnimateDiff. On Stable Diffusion alone the temporal layers are those of Tune-A-Video (Wu et al. 2023,
arXiv 2212.11565); they begin as the identity and learn motion from the source clip alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from motionkit.backbones.inflate import VideoTransformerBlock, inflate

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.inflate import FrameContext


def own_unet(backbone: VideoBackbone, own: Collection[str] = ()) -> Any:
    """A copy of the UNet in which the weights in `own`, and new ones, may change; the others share its memory."""
    unet = backbone.fresh_unet(own=own)
    if backbone.spec.inflatable:
        inflate(unet, joint_groupnorm=False, temporal_init="attn1")  # no random numbers: always the same new weights
        unet.requires_grad_(False)
    return unet


def untuned(backbone: VideoBackbone) -> Any:
    """The UNet before tuning, with the names and values that packs are compared with; not to be changed."""
    return own_unet(backbone) if backbone.spec.inflatable else backbone.unet


def inflated_blocks(unet: Any) -> list[VideoTransformerBlock]:
    """The blocks with new layers along time; none in a video model."""
    return [module for module in unet.modules() if isinstance(module, VideoTransformerBlock)]


def share(unet: Any, context: FrameContext) -> None:
    """Let the new layers along time read the number of frames off this context."""
    for block in inflated_blocks(unet):
        block.context = context
