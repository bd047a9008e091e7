"""A UNet's appearance attention with the motion attention behind it, whose keys and values were computed before."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, XFormersAttnProcessor
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor
from torch.nn import functional

from motionkit.backbones.animatex.conditions import Kept, Prepared
from motionkit.backbones.animatex.config import AnimateXConfig


class AppearanceMotion(Transformer2DModel):
    """Spatial transformer that reads text and image tokens, then a second one that reads the frame's motion tokens.

    Stands in for the Transformer2DModel at the same place of a UNet3DConditionModel and keeps its weights' names.
    """

    def __init__(self, config: AnimateXConfig, channels: int, site: int) -> None:
        shape: dict[str, Any] = {
            "num_attention_heads": channels // config.head_dim, "attention_head_dim": config.head_dim,
            "in_channels": channels, "norm_num_groups": config.groups, "cross_attention_dim": config.context_dim,
            "use_linear_projection": True,
        }  # fmt: skip
        super().__init__(**shape)
        self.motion = Transformer2DModel(**shape)
        self.site, self.motion_scale = site, config.motion_scale
        for model in (self, self.motion):
            for parameter in model.proj_out.parameters():  # as the authors': new, both are the identity
                torch.nn.init.zeros_(parameter)

    def keys_values(self, context: Tensor, motion: Tensor) -> tuple[Kept, Kept]:
        """Those of text and image tokens (B, L, D) and of motion tokens (B T, M, D)."""
        return _project(self.transformer_blocks[0].attn2, context), _project(_block(self.motion).attn2, motion)

    def forward(self, hidden_states: Tensor, *, cross_attention_kwargs: dict[str, Any], **_: Any) -> tuple[Tensor]:
        """(B T, C, h, w) to the same shape, in a tuple; `prepared` comes in cross_attention_kwargs."""
        prepared: Prepared = cross_attention_kwargs["prepared"]
        x = hidden_states + added(self, hidden_states, prepared.context[self.site])
        return (x + self.motion_scale * added(self.motion, x, prepared.motion[self.site]),)


def added(model: Transformer2DModel, x: Tensor, kept: Kept) -> Tensor:
    """What a spatial transformer adds to (N, C, h, w)."""
    tokens = model.norm(x).flatten(2).transpose(1, 2)  # (N, h w, C)
    tokens = model.proj_in(tokens)
    block = _block(model)
    tokens = tokens + block.attn1(block.norm1(tokens))
    tokens = tokens + attend(block.attn2, block.norm2(tokens), kept)
    tokens = tokens + block.ff(block.norm3(tokens))
    return model.proj_out(tokens).transpose(1, 2).unflatten(2, x.shape[2:])  # (N, C, h, w)


def attend(layer: Attention, x: Tensor, kept: Kept) -> Tensor:
    """Cross-attention of (N, L, C) over kept keys and values; those of fewer than N are shared by neighbours."""
    keys, values = kept
    heads = keys.shape[1]
    q = layer.to_q(x).reshape(len(keys), -1, heads, keys.shape[3]).transpose(1, 2)  # (N', H, N / N' L, d)
    if isinstance(layer.processor, XFormersAttnProcessor):
        from xformers.ops import memory_efficient_attention

        out = memory_efficient_attention(*(part.transpose(1, 2).contiguous() for part in (q, keys, values)))
    else:
        out = functional.scaled_dot_product_attention(q, keys, values).transpose(1, 2)
    return layer.to_out[0](out.reshape(*x.shape[:2], -1))


def _project(layer: Attention, tokens: Tensor) -> Kept:
    keys, values = (
        to(tokens).unflatten(-1, (layer.heads, -1)).transpose(1, 2).contiguous() for to in (layer.to_k, layer.to_v)
    )
    return keys, values  # (N, H, S, d) each


def _block(model: Transformer2DModel) -> BasicTransformerBlock:
    return model.transformer_blocks[0]
