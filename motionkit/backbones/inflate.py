"""Turn a Stable Diffusion UNet into a video UNet in place, as Tune-A-Video does (Wu et al. 2023, arXiv 2212.11565).

The stock diffusers modules stay, with their parameter names, and frames are folded into the batch. Three things are
added: self-attention looks at an anchor frame and at the neighbouring frame, every transformer block ends with an
attention over time, and the ResNets' group norms may take their statistics over all frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from motionkit.weights.building import drawing

# CUDA kernels of fused attention take at most 65535 (row x head) problems in one call.
_ROWS = 4096


@dataclass
class FrameContext:
    """What the inflated modules share: frames in a clip, the frame that all others may look at, and how many pixel
    positions go through temporal attention in one call."""

    frames: int = 1
    anchor: int = 0
    rows: int = _ROWS

    def neighbours(self) -> Tensor:
        """For each frame the next one on the way to the anchor, (F,) on the CPU; the anchor has itself."""
        a = self.anchor
        return torch.tensor([i - 1 if i > a else i + 1 if i < a else a for i in range(self.frames)])


class SparseCausalProcessor:
    """Self-attention of frame i over the tokens of [anchor, neighbour of i], with the block's own weights."""

    def __init__(self, context: FrameContext) -> None:
        self.context = context

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        """(B F, tokens, C) to the same shape; F is the context's."""
        context = encoder_hidden_states if encoder_hidden_states is not None else hidden_states
        query = attn.to_q(hidden_states)
        key, value = (self._look(layer(context)) for layer in (attn.to_k, attn.to_v))
        query, key, value = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (query, key, value)
        )  # (BF,heads,L,D)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=attn.scale)
        out = out.transpose(1, 2).flatten(2).to(hidden_states.dtype)  # (BF,tokens,C)
        return attn.to_out[1](attn.to_out[0](out))

    def _look(self, x: Tensor) -> Tensor:
        """Put the anchor's tokens and the neighbour's side by side for every frame."""
        if self.context.frames == 1:
            return x  # the same tokens twice give the same attention
        clips = x.unflatten(0, (-1, self.context.frames))  # (B,F,tokens,C)
        anchor = clips[:, self.context.anchor, None].expand_as(clips)
        near = clips[:, self.context.neighbours()]
        return torch.cat([anchor, near], 2).flatten(0, 1)  # (BF,2 tokens,C)


class VideoTransformerBlock(BasicTransformerBlock):
    """The stock block followed by attention over time, `x + attn_temp(norm_temp(x))`."""

    context: FrameContext
    attn_temp: Attention
    norm_temp: nn.LayerNorm

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        """(B F, tokens, C) to the same shape."""
        x = super().forward(*args, **kwargs)
        frames, tokens = self.context.frames, x.shape[1]
        rows = x.unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)  # (B tokens,F,C)
        rows = torch.cat([part + self.attn_temp(self.norm_temp(part)) for part in rows.split(self.context.rows)])
        return rows.unflatten(0, (-1, tokens)).transpose(1, 2).flatten(0, 1)  # (BF,tokens,C)


class VideoGroupNorm(nn.GroupNorm):
    """Group norm with statistics over all frames of a clip."""

    context: FrameContext

    def forward(self, x: Tensor) -> Tensor:
        """(B F, C, h, w) to the same shape."""
        if self.context.frames == 1:
            return super().forward(x)
        clips = x.unflatten(0, (-1, self.context.frames)).transpose(1, 2)  # (B,C,F,h,w)
        return super().forward(clips).transpose(1, 2).flatten(0, 1)  # (BF,C,h,w)


class VideoUNet(nn.Module):
    """An inflated UNet that maps clips to clips.

    `unet` is the stock model with its names, plus `attn_temp.*` and `norm_temp.*` in each transformer block, which are
    the names of the authors' state dict too. With gradient checkpointing run backward before the next forward: the
    recomputation reads the same shared context.
    """

    def __init__(self, unet: UNet2DConditionModel, context: FrameContext) -> None:
        super().__init__()
        self.unet = unet
        self.context = context

    def forward(self, sample: Tensor, timestep: int | Tensor, text: Tensor, anchor: int = 0) -> Tensor:
        """Predict for whole clips.

        Args:
            sample: (B, C, F, h, w).
            timestep: one for all or (B,).
            text: (B, L, C) states, or (1, L, C) for all.
            anchor: the frame that every frame attends to.

        Returns:
            The model's prediction, (B, C, F, h, w).
        """
        batch, _, frames = sample.shape[:3]
        if not 0 <= anchor < frames:
            raise ValueError(f"anchor {anchor} is not one of {frames} frames")
        self.context.frames, self.context.anchor = frames, anchor
        times = torch.as_tensor(timestep, device=sample.device).expand(batch).repeat_interleave(frames)  # (BF,)
        states = text.expand(batch, -1, -1).repeat_interleave(frames, 0)  # (BF,L,C)
        flat = sample.transpose(1, 2).flatten(0, 1)  # (BF,C,h,w)
        out = self.unet(flat, times, encoder_hidden_states=states, return_dict=False)[0]
        return out.unflatten(0, (batch, frames)).transpose(1, 2)  # (B,C,F,h,w)


def inflate(
    unet: UNet2DConditionModel,
    *,
    joint_groupnorm: bool = True,
    temporal_init: str = "attn1",
    generator: torch.Generator | None = None,
) -> VideoUNet:
    """Inflate a UNet in place; hand in a copy of one that is still needed.

    Args:
        joint_groupnorm: ResNet statistics over all frames of a clip, as the authors' code has it, or for each frame.
        temporal_init: "attn1" starts the queries, keys and values of the temporal attention from the block's own
            self-attention; "random" draws them. The out-projection starts at zero, weight and bias, so that the
            inflated net begins as the image net.
        generator: for "random".

    Raises:
        ValueError: an unknown temporal_init, or a UNet without transformer blocks.
    """
    if temporal_init not in ("attn1", "random"):
        raise ValueError(f"temporal_init must be attn1 or random (got {temporal_init!r})")
    context = FrameContext()
    blocks = [m for m in unet.modules() if isinstance(m, BasicTransformerBlock)]
    if not blocks:
        raise ValueError("this UNet has no transformer blocks to inflate")
    with drawing():  # modules draw from the global generator when they are made
        for block in blocks:
            _inflate_block(block, context, temporal_init, generator)
    if joint_groupnorm:
        join_group_norms(unet, context)
    return VideoUNet(unet, context)


def join_group_norms(unet: nn.Module, context: FrameContext) -> None:
    """Let the ResNets of a UNet that folds frames into the batch take their statistics over all frames of a clip."""
    norms = [norm for m in unet.modules() if isinstance(m, ResnetBlock2D) for norm in (m.norm1, m.norm2)]
    for norm in (*norms, unet.conv_norm_out):
        # The class changes and the module stays: names, weights and adapters are untouched.
        norm.__class__, norm.context = VideoGroupNorm, context


def _inflate_block(
    block: BasicTransformerBlock, context: FrameContext, init: str, generator: torch.Generator | None
) -> None:
    self_attention: Attention = block.attn1
    self_attention.set_processor(SparseCausalProcessor(context))
    width = self_attention.to_q.in_features
    heads = self_attention.heads
    temporal = Attention(width, heads=heads, dim_head=self_attention.inner_dim // heads, bias=False)
    norm = nn.LayerNorm(width)
    with torch.no_grad():
        for name in ("to_q", "to_k", "to_v"):
            weight = getattr(temporal, name).weight
            if init == "attn1":
                weight.copy_(getattr(self_attention, name).weight)
            else:
                bound = width**-0.5  # nn.Linear's own
                weight.copy_((torch.rand(weight.shape, generator=generator) * 2 - 1) * bound)
        if init == "attn1" and block.norm1.elementwise_affine:
            norm.load_state_dict(block.norm1.state_dict())
        nn.init.zeros_(temporal.to_out[0].weight)
        nn.init.zeros_(temporal.to_out[0].bias)
    like = self_attention.to_q.weight
    block.attn_temp, block.norm_temp = temporal.to(like), norm.to(like)
    block.__class__, block.context = VideoTransformerBlock, context
