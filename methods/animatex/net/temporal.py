"""The layers along time: the temporal transformer of the released weights, or Mamba as in the paper."""

from __future__ import annotations

from typing import Any

from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from motionkit.methods.animatex.net.config import AnimateXConfig
from motionkit.methods.animatex.net.sites import attention, mlp


class TemporalTransformer(TransformerTemporalModel):
    """diffusers' temporal transformer, to which what is for the spatial sites means nothing."""

    def __init__(self, config: AnimateXConfig, channels: int, heads: int) -> None:
        super().__init__(heads, config.head_dim, in_channels=channels, norm_num_groups=config.groups)
        for parameter in self.proj_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden_states: Tensor, *, num_frames: int = 1, **_: Any) -> tuple[Tensor]:
        """(B T, C, h, w) to the same shape, in a tuple.

        Tokens stay in the order of the frames; only the attention looks at them pixel by pixel.
        """
        clips = hidden_states.unflatten(0, (-1, num_frames)).transpose(1, 2)  # (B, C, T, h, w)
        tokens = self.norm(clips).flatten(3).permute(0, 2, 3, 1)  # (B, T, h w, C)
        tokens = self.proj_in(tokens.contiguous())
        block = self.transformer_blocks[0]
        tokens = tokens + _along_time(block.attn1, block.norm1(tokens))
        tokens = tokens + _along_time(block.attn2, block.norm2(tokens))
        tokens = self.proj_out(tokens + mlp(block.ff, block.norm3(tokens)))
        return (hidden_states + tokens.flatten(0, 1).transpose(1, 2).reshape(hidden_states.shape),)  # (B T, C, h, w)


def _along_time(layer: Attention, x: Tensor) -> Tensor:
    """Self-attention of each pixel over its frames, (B, T, P, C) to the same shape."""
    heads = (to(x).unflatten(3, (layer.heads, -1)) for to in (layer.to_q, layer.to_k, layer.to_v))  # (B, T, P, H, d)
    q, k, v = (part.permute(0, 2, 3, 1, 4).flatten(0, 1) for part in heads)  # (B P, H, T, d), views for one clip
    out = attention(layer, q, k, v).unflatten(0, (len(x), -1))  # (B, P, T, C)
    return layer.to_out[0](out.transpose(1, 2))  # (B, T, P, C)


def temporal_module(config: AnimateXConfig, channels: int, heads: int) -> nn.Module:
    """The configuration's temporal module for that many channels; new, it is the identity."""
    if config.temporal == "transformer":
        return TemporalTransformer(config, channels, heads)
    from motionkit.backbones.mamba import MambaTemporal

    return MambaTemporal(channels, norm_groups=config.groups, **config.mamba)
