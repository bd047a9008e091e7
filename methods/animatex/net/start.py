"""New networks that begin as a trained video UNet."""

from __future__ import annotations

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor

from motionkit.errors import UserError
from motionkit.methods.animatex.net.config import AnimateXConfig
from motionkit.methods.animatex.net.network import AnimateXNetwork
from motionkit.weights.reading import as_layer

_TEMPORAL = ("transformer_in.", "temp_attentions.")


def from_video_unet(video: UNet3DConditionModel, config: AnimateXConfig) -> AnimateXNetwork:
    """A network that computes what the video UNet computes on T frames, whatever its new conditions are.

    The video UNet's weights are taken over. The first convolution's new input channels are zero, and the motion
    attention begins as the identity; with temporal="mamba" the temporal transformers make way for new Mamba blocks,
    which begin as the identity as well. What is new is drawn from the global generator.
    Raises: UserError when a weight of the video UNet has no place in a network of these sizes.
    """
    network = AnimateXNetwork(config)
    own = network.unet.state_dict()
    for key, value in video.state_dict().items():
        if config.temporal != "transformer" and any(part in key for part in _TEMPORAL):
            continue
        if key == "conv_in.weight" and value.shape[1] == config.latent_channels:
            value = _widened(value, config.slot_channels)
        if key not in own or as_layer(value, own[key].shape).shape != own[key].shape:
            raise UserError(
                f"the video UNet's {key} {list(value.shape)} does not fit this Animate-X network: "
                f"channels, attention, layers, head_dim, groups and context_dim must agree"
            )
        own[key] = as_layer(value, own[key].shape).to(own[key].dtype)
    network.unet.load_state_dict(own)
    return network


def _widened(weight: Tensor, channels: int) -> Tensor:
    blank = weight.new_zeros(weight.shape[0], channels - weight.shape[1], *weight.shape[2:])
    return torch.cat([weight, blank], dim=1)  # (O, channels, 3, 3)
