"""How MotionGuide reaches a video UNet: V = W_V (z + lambda phi) over time (VIDMP3 Eq. 4); sparse-causal space.

Both self-attentions of every AnimateDiff motion module take part; in diffusers they are called attn1 and attn2, and it
is the path through `motion_modules` that tells them from spatial self-attention and cross-attention. An inflated image
model has one such attention in each transformer block, `attn_temp`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor

from motionkit.backbones.base import AttentionSite, attention_sites
from motionkit.backbones.inflate import FrameContext, SparseCausalProcessor
from motionkit.errors import UserError

from .options import BLOCKS, SITES, one_of
from .unets import share

# CUDA kernels of fused attention take at most 65535 (row x head) problems in one call.
_PROBLEMS = 65535


@dataclass(frozen=True)
class Subject:
    """One subject's guidance.

    Attributes:
        phi: site -> (F, C), from `MotionGuide`.
        gate: (F, H, W) or (1, H, W) in [0, 1] at any resolution: where in the picture it counts; None is everywhere.
    """

    phi: Mapping[str, Tensor]
    gate: Tensor | None = None


@dataclass
class GuideContext(FrameContext):
    """What the processors of one UNet share; a plain object, because a module would show up in the UNet's state dict.

    Frames, batch and size are read off each call of the UNet. The rest is set by `Injection.guide` and must stay until
    the backward pass has ended: gradient checkpointing reads it again.
    """

    rows: int = 2**31  # all places in one call of an attention, which the gates are spread for; `_attend` splits it
    batch: int = 1
    size: tuple[int, int] = (1, 1)  # of the latents
    subjects: Sequence[Subject] = ()
    scale: float = 0.0  # lambda
    centre: bool = False  # subtract each phi's mean over time: a constant only shifts all frames alike

    def values(self, site: str, attn: Attention, x: Tensor) -> Tensor | None:
        """What is added to the values at a site: (F, C), or (B h w, F, C) with a gate, or None.

        Args:
            x: the attention's input (B h w, F, C).

        Raises:
            ValueError: phi has another number of frames than the UNet was called with.
        """
        total = None
        for subject in self.subjects:
            if (phi := subject.phi.get(site)) is None:
                continue
            if len(phi) != x.shape[1]:
                raise ValueError(f"phi has {len(phi)} frames, the clip has {x.shape[1]}")
            phi = phi - phi.mean(0) if self.centre else phi
            # W_V is linear and has no bias, so W_V (z + lambda phi) = W_V z + W_V (lambda phi), at F x C^2 operations.
            added = attn.to_v((self.scale * phi).to(x.dtype))  # (F,C)
            if subject.gate is not None:
                added = self._spread(subject.gate.to(added), x.shape[0])[..., None] * added  # (Bhw,F,C)
            total = added if total is None else total + added
        return total

    def _spread(self, gate: Tensor, rows: int) -> Tensor:
        """A gate (F or 1, H, W) for the rows of a site, (B h w, F or 1)."""
        size = grid_of(rows // self.batch, self.size)
        small = F.interpolate(gate[:, None], size, mode="area").flatten(1)  # (F,hw)
        return small.transpose(0, 1).repeat(self.batch, 1)  # (Bhw,F)


def grid_of(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a site with so many tokens, in a UNet that halves latents of `size`, rounding up.

    Raises:
        ValueError: no level of that UNet has so many tokens.
    """
    height, width = size
    while height * width > tokens:
        height, width = -(-height // 2), -(-width // 2)
        if height * width == 1:
            break
    if height * width != tokens:
        raise ValueError(f"{tokens} tokens fit no level of a UNet on latents of {size[0]}x{size[1]}")
    return height, width


class GuidedValuesProcessor:
    """Self-attention over time whose values also carry lambda phi; queries and keys are left alone."""

    def __init__(self, context: GuideContext, site: str) -> None:
        self.context = context
        self.site = site

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        """(B h w, F, C) to the same shape; the frame encoding is in there already."""
        if encoder_hidden_states is not None or attention_mask is not None:
            raise ValueError(f"{self.site} is not a temporal self-attention")
        query, key, value = (layer(hidden_states) for layer in (attn.to_q, attn.to_k, attn.to_v))
        added = self.context.values(self.site, attn, hidden_states)
        value = value if added is None else value + added
        heads = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (query, key, value))
        query, key, value = heads  # (Bhw,heads,F,c) each
        out = _attend(query, key, value, attn.scale)  # (Bhw,heads,F,c)
        return attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))  # (Bhw,F,C)


def _attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Fused attention of (rows, heads, F, c), in as many calls as the kernels need."""
    rows = max(1, _PROBLEMS // query.shape[1])
    if len(query) <= rows:
        return F.scaled_dot_product_attention(query, key, value, scale=scale)
    parts = zip(query.split(rows), key.split(rows), value.split(rows), strict=True)
    return torch.cat([F.scaled_dot_product_attention(q, k, v, scale=scale) for q, k, v in parts])


def guide_sites(unet: Any, sites: str = "all", blocks: str = "all") -> dict[str, int]:
    """Name -> channels of the temporal attentions that get a phi, in the order in which the data passes them.

    Args:
        unet: a UNetMotionModel.
        sites: all (both attentions of each motion module), attn1, attn2.
        blocks: all, down, mid, up.

    Raises:
        UserError: an unknown choice, or one that leaves nothing.
    """
    return {site.name: site.width for site in _chosen(unet, sites, blocks)}


def _chosen(unet: Any, sites: str, blocks: str) -> list[AttentionSite]:
    one_of("choice of attentions", sites, SITES)
    one_of("choice of blocks", blocks, BLOCKS)
    found = attention_sites(unet, "temporal_self")
    if not found:
        raise UserError("this UNet has no temporal attention: vidmp3 needs a video model")
    found = [s for s in found if sites in ("all", s.name.rsplit(".", 1)[-1])]
    found = [s for s in found if blocks in ("all", s.block.split(".")[0])]
    if not found:
        raise UserError(
            f"this UNet has no motion module with {sites} in {blocks}: choose other guide.sites or guide.blocks"
        )
    if biased := next((s.name for s in found if s.module.to_v.bias is not None), None):
        raise UserError(f"{biased}.to_v has a bias, which would be added twice: vidmp3 needs layers without a bias")
    return found


@dataclass
class Injection:
    """The processors on one UNet; `remove` restores the previous ones."""

    unet: Any
    context: GuideContext
    sites: dict[str, int]  # name -> channels
    _before: list[tuple[Attention, Any]] = field(default_factory=list)
    _hook: Any = None

    def guide(self, *subjects: Subject | Mapping[str, Tensor], scale: float, centre: bool = False) -> None:
        """Guide the next calls of the UNet; without subjects they are not guided.

        Args:
            subjects: phi of `MotionGuide`, bare or as a `Subject` with a gate.
            scale: lambda; it counts for the conditional and the unconditional half of a batch alike.
            centre: subtract each phi's mean over time.

        Raises:
            ValueError: a phi for a site that was not chosen.
        """
        chosen = [s if isinstance(s, Subject) else Subject(s) for s in subjects]
        if strange := next((name for s in chosen for name in s.phi if name not in self.sites), None):
            raise ValueError(f"no guided attention layer is called {strange}")
        self.context.subjects, self.context.scale, self.context.centre = chosen, scale, centre

    def look(self, clips: Tensor) -> None:
        """Set the shape of the next clips (B, C, F, h, w) in the processors; a video UNet does this itself."""
        self.context.batch, self.context.frames = clips.shape[0], clips.shape[2]
        self.context.size = (clips.shape[3], clips.shape[4])

    def remove(self) -> None:
        """Restore the previous processors."""
        for module, processor in self._before:
            module.set_processor(processor)
        self._before.clear()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def install(unet: Any, sites: str = "all", blocks: str = "all", sparse_causal: bool = True) -> Injection:
    """Put the processors on a UNet of `unets.own_unet`; nothing is guided until `Injection.guide`.

    Args:
        sites, blocks: as for `guide_sites`.
        sparse_causal: spatial self-attention of frame f over frames 0 and max(f - 1, 0), as in Tune-A-Video (Wu et al.
            2023, arXiv 2212.11565); keys and values are computed once for each frame and gathered.

    Raises:
        UserError: as `guide_sites`.
    """
    context = GuideContext()
    chosen = _chosen(unet, sites, blocks)
    injection = Injection(unet, context, {site.name: site.width for site in chosen})
    placed: list[tuple[AttentionSite, Any]] = [(s, GuidedValuesProcessor(context, s.name)) for s in chosen]
    if sparse_causal:
        placed += [(s, SparseCausalProcessor(context)) for s in attention_sites(unet, "spatial_self")]
    for site, processor in placed:
        injection._before.append((site.module, site.module.processor))
        site.module.set_processor(processor)

    def watch(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sample = args[0] if args else kwargs["sample"]
        if sample.ndim == 5:  # an image model gets (B F, C, h, w), which does not tell the number of frames
            injection.look(sample)

    share(unet, context)
    injection._hook = unet.register_forward_pre_hook(watch, with_kwargs=True)
    return injection
