"""A UNet's appearance attention with the motion attention behind it, whose keys and values were computed before."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention, XFormersAttnProcessor
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.nn import functional

from motionkit.methods.animatex.net.conditions import Kept, Prepared
from motionkit.methods.animatex.net.config import AnimateXConfig


class AppearanceMotion(Transformer2DModel):
    """Spatial transformer that reads text and image tokens, then a second one that reads the frame's motion tokens.

    Stands in for the Transformer2DModel at the same place of a UNet3DConditionModel and keeps its weights' names.
    """

    def __init__(self, config: AnimateXConfig, channels: int, site: int) -> None:
        shape: dict[str, Any] = {
            "num_attention_heads": channels // config.head_dim,
            "attention_head_dim": config.head_dim,
            "in_channels": channels,
            "norm_num_groups": config.groups,
            "cross_attention_dim": config.context_dim,
            "use_linear_projection": True,
        }
        super().__init__(**shape)
        self.motion = Transformer2DModel(**shape) if config.motion == "block" else MotionAttention(config, channels)
        self.site, self.motion_scale, self.parallel = site, config.motion_scale, config.parallel
        for layer in (self.proj_out, getattr(self.motion, "proj_out", None)):  # as the authors': new, both add nothing
            for parameter in layer.parameters() if layer is not None else ():
                torch.nn.init.zeros_(parameter)

    def keys_values(self, context: Tensor, motion: Tensor) -> tuple[Kept, Kept]:
        """Those of text and image tokens (B, L, D) and of motion tokens (B T, M, D)."""
        layer = self.motion.attn2 if isinstance(self.motion, MotionAttention) else _block(self.motion).attn2
        return _project(self.transformer_blocks[0].attn2, context), _project(layer, motion)

    def forward(self, hidden_states: Tensor, *, cross_attention_kwargs: dict[str, Any], **_: Any) -> tuple[Tensor]:
        """(B T, C, h, w) to the same shape, in a tuple; `prepared` comes in cross_attention_kwargs.

        No frame sees another one here: without gradients a few frames pass at a time.
        """
        prepared: Prepared = cross_attention_kwargs["prepared"]
        context, motion = prepared.context[self.site], prepared.motion[self.site]
        chunk = max(1, 4 * tokens_at_once(hidden_states) // hidden_states[0, 0].numel())
        if chunk >= len(hidden_states):
            return (self._frames(hidden_states, context, motion),)
        slots, out = prepared.frames + 1, torch.empty_like(hidden_states)
        for start in range(0, len(hidden_states), slots):  # clip by clip: each has its own context
            clip, own = slice(start, start + slots), _one(context, start // slots)
            frames = zip(
                *(part.split(chunk) for part in (hidden_states[clip], motion[0][clip], motion[1][clip])), strict=True
            )
            for place, (x, keys, values) in zip(out[clip].split(chunk), frames, strict=True):
                place.copy_(self._frames(x, own, (keys, values)))
        return (out,)

    def _frames(self, x: Tensor, context: Kept, motion: Kept) -> Tensor:
        seen = x + added(self, x, context)
        x = x if self.parallel else seen
        alone = isinstance(self.motion, MotionAttention)
        return seen + self.motion_scale * (self.motion.added(x, motion) if alone else added(self.motion, x, motion))


class MotionAttention(nn.Module):
    """Cross-attention to the motion tokens alone, as the paper writes it (section 3.2); new, it adds nothing."""

    def __init__(self, config: AnimateXConfig, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        heads = channels // config.head_dim
        self.attn2 = Attention(channels, config.context_dim, heads=heads, dim_head=config.head_dim)
        for parameter in self.attn2.to_out[0].parameters():
            nn.init.zeros_(parameter)

    def added(self, x: Tensor, kept: Kept) -> Tensor:
        """What it adds to (N, C, h, w)."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # (N, h w, C)
        return attend(self.attn2, tokens, kept).transpose(1, 2).unflatten(2, x.shape[2:])  # (N, C, h, w)


def tokens_at_once(x: Tensor) -> int:
    """How many tokens pass together where none sees another: those that stay in a CPU's cache, many on other devices.

    The inner layer of an MLP here holds eight numbers per token and channel: for 32 frames of 768x512 more than 1 GB in
    half precision. With gradients, which keep it anyway, all pass together.
    """
    if torch.is_grad_enabled():
        return x.numel()
    return 1024 if x.device.type == "cpu" else 65536


def mlp(layer: nn.Module, tokens: Tensor) -> Tensor:
    """A feed-forward layer over (..., C), some tokens at a time."""
    parts = tokens.flatten(0, -2).split(tokens_at_once(tokens))  # (n, C) each
    return layer(tokens) if len(parts) == 1 else torch.cat([layer(part) for part in parts]).view_as(tokens)


def added(model: Transformer2DModel, x: Tensor, kept: Kept) -> Tensor:
    """What a spatial transformer adds to (N, C, h, w)."""
    tokens = model.norm(x).flatten(2).transpose(1, 2)  # (N, h w, C)
    tokens = model.proj_in(tokens)
    block = _block(model)
    tokens = tokens + block.attn1(block.norm1(tokens))
    tokens = tokens + attend(block.attn2, block.norm2(tokens), kept)
    tokens = tokens + mlp(block.ff, block.norm3(tokens))
    return model.proj_out(tokens).transpose(1, 2).unflatten(2, x.shape[2:])  # (N, C, h, w)


def attend(layer: Attention, x: Tensor, kept: Kept) -> Tensor:
    """Cross-attention of (N, L, C) over kept keys and values; those of fewer than N are shared by neighbours."""
    keys, values = kept
    heads = keys.shape[1]
    q = layer.to_q(x).reshape(len(keys), -1, heads, keys.shape[3]).transpose(1, 2)  # (N', H, N / N' L, d)
    return layer.to_out[0](attention(layer, q, keys, values).reshape(*x.shape[:2], -1))  # (N, L, C)


def attention(layer: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Heads (N, H, L, d) to (N, L, H d), by the kernel of the layer's processor."""
    if isinstance(layer.processor, XFormersAttnProcessor):
        from xformers.ops import memory_efficient_attention

        return memory_efficient_attention(*(part.transpose(1, 2).contiguous() for part in (q, k, v))).flatten(2)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (N, L, H d)


def _one(kept: Kept, clip: int) -> Kept:
    return kept[0][clip : clip + 1], kept[1][clip : clip + 1]


def _project(layer: Attention, tokens: Tensor) -> Kept:
    keys, values = (
        to(tokens).unflatten(-1, (layer.heads, -1)).transpose(1, 2).contiguous() for to in (layer.to_k, layer.to_v)
    )
    return keys, values  # (N, H, S, d) each


def _block(model: Transformer2DModel) -> BasicTransformerBlock:
    return model.transformer_blocks[0]
