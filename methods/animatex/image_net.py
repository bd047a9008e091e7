"""Animate-X's network for single pictures: its spatial layers in the 2D class, with the same names, for cheap training.

What it learns is taken over by the clip network (`inflated`), whose layers along time begin as the identity.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from motionkit.methods.animatex.net.adapters import FoldedPictures, ReferenceGrid, pixel_branch
from motionkit.methods.animatex.net.config import AnimateXConfig
from motionkit.methods.animatex.net.network import AnimateXNetwork
from motionkit.training.recipes.auxiliary import AuxiliaryHead, Listener
from motionkit.training.recipes.watched_attention import WatchedAttention
from motionkit.weights.reading import as_layer


class ImageNet(nn.Module):
    """v of noisy latents under a pose picture and a reference.

    Attributes:
        unet, local, pose, grid: as in `AnimateXNetwork`.  head: tells parts and offsets, in training only.
        words: (1, L, D), states of the empty prompt, read before the reference's tokens.
    """

    words: Tensor

    def __init__(self, config: AnimateXConfig, words: Tensor) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet2DConditionModel(**unet_arguments(config))
        if config.folded_poses:
            self.pose: nn.Module = FoldedPictures(config)
        else:
            self.local, self.pose = (pixel_branch(config, config.concat_channels) for _ in range(2))
        self.grid = ReferenceGrid(config)
        self.head = AuxiliaryHead(config.channels[-2], offsets=True, groups=config.groups)
        self.register_buffer("words", words)
        self.listener = Listener(self.unet.up_blocks[-2])
        queries = config.reference_grid**2
        self.watch = WatchedAttention(lambda attn, q, reads: attn.training and reads and q == queries)
        self.unet.set_attn_processor(self.watch)

    def context(self, latent: Tensor, pose: Tensor) -> Tensor:
        """What cross-attention reads (B, L + S, D) of references (B, 4, h, w) and their poses (B, 3, H, W)."""
        return torch.cat([self.words.expand(len(latent), -1, -1), self.grid(latent, pose)], 1)

    def beside(self, reference: Tensor, pose: Tensor) -> Tensor:
        """The channels beside the noise (B, C, h, w) of pictures and pose pictures (B, 3, H, W)."""
        seen = self.pose(pose[:, :, None])[:, :, 0]
        return seen if self.config.folded_poses else seen + self.local(reference[:, :, None])[:, :, 0]

    def forward(self, noisy: Tensor, t: Tensor, beside: Tensor, context: Tensor) -> Tensor:
        """v (B, 4, h, w) of latents of that shape at steps t (B,)."""
        return self.unet(torch.cat([noisy, beside.to(noisy.dtype)], 1), t, context).sample


def unet_arguments(config: AnimateXConfig) -> dict[str, Any]:
    """The arguments of diffusers' UNet2DConditionModel with the spatial layers of that network."""
    values = config.unet()
    for key in ("down_block_types", "up_block_types"):
        values[key] = tuple(name.replace("3D", "2D") for name in values[key])
    return values | {"attention_head_dim": tuple(c // config.head_dim for c in config.channels)}  # heads, in that class


def begin_as(net: ImageNet, unet: UNet2DConditionModel) -> None:
    """Takes the layers of a text-to-image UNet over; the first convolution reads its new channels as it was drawn.

    From zero the branches beside the noise would learn nothing until that convolution has grown.
    """
    state = {k: v.clone() for k, v in unet.state_dict().items()}
    old = state["conv_in.weight"]
    state["conv_in.weight"] = net.unet.conv_in.weight.detach().clone()
    state["conv_in.weight"][:, : old.shape[1]] = old
    net.unet.load_state_dict(state)


def inflated(net: ImageNet) -> AnimateXNetwork:
    """The clip network that computes on each frame what the image network does; what is new begins as the identity."""
    network = AnimateXNetwork(net.config)
    own = network.state_dict()
    for name, value in net.state_dict().items():
        if name.split(".")[0] in ("unet", "local", "pose", "grid"):
            own[name] = as_layer(value, own[name].shape).to(own[name].dtype)
    network.load_state_dict(own)
    for module in network.unet.modules():
        if type(module).__name__ == "TransformerTemporalModel":
            for parameter in module.proj_out.parameters():
                nn.init.zeros_(parameter)
    return network
