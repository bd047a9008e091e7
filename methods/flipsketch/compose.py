"""Composed attention: a reference pass saves queries and keys, and a generated pass uses them in place of its own.

FlipSketch section 4.3 (https://arxiv.org/abs/2411.10818) as its code computes it. Spatial self-attention takes the
reference's queries for its first N frames, so what is drawn where follows the sketch; temporal self-attention looks at
the reference's frame 0 in place of the generated one. Sites are told by name and role, never by the shape of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional

from motionkit.backbones.base import attention_sites

from .eager import eager

_PROBLEMS = 65535  # attention problems, each a row of the batch and a head, that CUDA's fused kernels take in one call
Denoise = Callable[[Tensor, float, Tensor], Tensor]  # latents (B, C, F, h, w), timestep, text (B, L, C) -> prediction


@dataclass
class Recording:
    """What one reference pass of N frames leaves, by the name of the site.

    Attributes:
        queries: spatial sites, (N, h*w, C).
        keys: temporal sites, those of frame 0, (h*w, C).
    """

    queries: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, Tensor] = field(default_factory=dict)

    @property
    def megabytes(self) -> float:
        """Size in memory, MB (10^6 bytes)."""
        kept = (*self.queries.values(), *self.keys.values())
        return sum(t.numel() * t.element_size() for t in kept) / 1e6

    @property
    def device(self) -> str:
        """The type of the device that it lies on; "cpu" of an empty one."""
        return next((t.device.type for t in (*self.queries.values(), *self.keys.values())), "cpu")

    def map(self, change: Callable[[Tensor], Tensor]) -> Recording:
        """The same with each tensor changed."""
        return Recording(
            {name: change(q) for name, q in self.queries.items()}, {name: change(k) for name, k in self.keys.items()}
        )


@dataclass
class _Pass:
    """What the processors are to do in the UNet call that is running."""

    frames: int = 1
    save: Recording | None = None
    use: Recording | None = None
    first: int = 0  # the first video of the batch that is composed
    factor: Tensor | None = None  # (F,) minus 1: how much stronger each query frame looks at the reference's frame 0
    mask: bool = True  # whether that is added to the logits, or stands in a channel more


class Composer:
    """A UNet whose self-attention can save and compose; use it inside `installed()`.

    Args:
        denoise: calls that UNet.
        unet: diffusers' UNet3DConditionModel or UNetMotionModel.
        ramp: "per_frame": the logit of query frame f towards the reference's frame 0 times 1 + lambda f / 50 (the
            authors' code); "constant": times 1 + lambda / 50 for every frame (the paper, section 4.3).
        spatial, temporal: which attention is composed.
        mask: whether lambda changes the logits by an additive mask, or by one channel more in each head, which gives
            the same logits and which kernels take that know no mask; None takes the mask on the CPU alone.
        layers: "attn1": the first self-attention of each block; "all": the second temporal one too.
    """

    def __init__(
        self,
        denoise: Denoise,
        unet: Any,
        *,
        lambda_: float = 0.5,
        ramp: str = "per_frame",
        spatial: bool = True,
        temporal: bool = True,
        layers: str = "attn1",
        mask: bool | None = None,
    ) -> None:
        self._denoise, self._unet, self._mask = denoise, unet, mask
        self._lambda, self._ramp = lambda_, ramp
        self.spatial, self.temporal = spatial, temporal
        self._pass = _Pass()
        self._factors: dict[tuple[int, torch.device], Tensor | None] = {}
        self._sites = {
            site.name: site
            for role in ("spatial_self", "temporal_self", "cross")
            for site in attention_sites(unet, role)
        }
        self._layers = ("attn1",) if layers == "attn1" else ("attn1", "attn2")
        for site in self._sites.values():
            _check(site.name, site.module)

    @contextmanager
    def installed(self) -> Iterator[Composer]:
        """The UNet with these processors; those before come back at the end."""
        before = self._unet.attn_processors
        self._unet.set_attn_processor({f"{name}.processor": self._processor(name) for name in self._sites})
        try:
            yield self
        finally:
            self._unet.set_attn_processor(before)

    def _processor(self, name: str) -> Any:
        role = self._sites[name].role
        if role == "cross":
            return _Text(self._pass)
        marked = name.rpartition(".")[2] in self._layers
        return _Spatial(self._pass, name) if role == "spatial_self" else _Temporal(self._pass, name, marked)

    def plain(self, latents: Tensor, t: float, text: Tensor) -> Tensor:
        """The UNet's own prediction; gradients flow when they are on."""
        return self._call(latents, t, text)

    def record(self, latents: Tensor, t: float, text: Tensor) -> tuple[Tensor, Recording]:
        """The UNet's own prediction for one video (1, C, N, h, w), and its queries and frame-0 keys."""
        if len(latents) != 1:
            raise ValueError(f"one reference, not {len(latents)}")
        recording = Recording()
        with eager():  # its frames change from call to call: compiling never pays
            return self._call(latents, t, text, save=recording), recording

    def composed(self, latents: Tensor, t: float, text: Tensor, recording: Recording, first: int = 0) -> Tensor:
        """The prediction with the reference's queries and keys in the videos of the batch from `first` on."""
        used = Recording(recording.queries if self.spatial else {}, recording.keys if self.temporal else {})
        factor = self._factor(latents.shape[2], latents.device)
        mask = latents.device.type == "cpu" if self._mask is None else self._mask
        return self._call(latents, t, text, use=used, first=first, factor=factor, mask=mask)

    def _call(self, latents: Tensor, t: float, text: Tensor, **what: Any) -> Tensor:
        frames = latents.shape[2]
        vars(self._pass).update(vars(_Pass(frames, **what)))
        try:
            return self._denoise(latents, t, text)
        finally:  # the number of frames stays: a backward pass may compute its activations again
            vars(self._pass).update(vars(_Pass(frames)))

    def _factor(self, frames: int, device: torch.device) -> Tensor | None:
        if self._lambda == 0:
            return None
        if (frames, device) not in self._factors:
            ramp = torch.arange(frames) if self._ramp == "per_frame" else torch.ones(frames)
            self._factors[frames, device] = (self._lambda / 50 * ramp).to(device)
        return self._factors[frames, device]


def _check(name: str, attn: Attention) -> None:
    odd = [x for x in ("spatial_norm", "group_norm", "norm_q", "norm_k", "norm_cross") if getattr(attn, x, None)]
    if odd or attn.residual_connection or attn.rescale_output_factor != 1:
        raise ValueError(f"{name}: composed attention does not know {', '.join(odd) or 'its residual connection'}")


class _Processor:
    """Attention by torch's fused kernel, with a place where queries and keys can be taken and replaced."""

    def __init__(self, now: _Pass, name: str = "") -> None:
        self._now, self._name = now, name

    def _finish(self, attn: Attention, q: Tensor, k: Tensor, v: Tensor, more: Tensor | None = None) -> Tensor:
        """Attention of (B, S, C) queries, to_out included; `more` (B, heads, S) is added to the logits of key 0."""
        q, k, v = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, heads, S, d)
        if more is None:
            out = _attend(q, k, v)
        elif self._now.mask:
            out = _attend(q, k, v, _column(more, k.shape[2]))
        else:
            out = _attend(*_widened(q, k, v, more), scale=q.shape[-1] ** -0.5)[..., : v.shape[-1]]
        out = out.transpose(1, 2).flatten(2)  # (B, S, C)
        return attn.to_out[1](attn.to_out[0](out))


def _column(more: Tensor, keys: int) -> Tensor:
    """The mask (B, heads, S, keys) that adds `more` (B, heads, S) to the logits of key 0."""
    bias = more.new_zeros(*more.shape, keys)  # (B, heads, S, keys)
    bias[..., 0] = more
    return bias


def _widened(q: Tensor, k: Tensor, v: Tensor, more: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Heads (B, heads, S, d) with a channel in which key 0 is 1, the others 0, and the queries hold what is added.

    Seven more channels of zeros keep d a multiple of 8, of which the kernels' fast ways are made.
    """
    width = q.shape[-1]
    q, k, v = (functional.pad(x, (0, 8)) for x in (q, k, v))  # (B, heads, S, d + 8)
    q[..., width] = more * width**0.5  # the kernel divides by it
    k[:, :, 0, width] = 1
    return q, k, v


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, scale: float | None = None) -> Tensor:
    """Fused attention of (B, heads, S, d), in as many calls as the kernels need; bias (B, heads, S, S) or None."""
    rows = max(1, _PROBLEMS // q.shape[1])
    if len(q) <= rows:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    biases = bias.split(rows) if bias is not None else [None] * -(-len(q) // rows)
    parts = zip(q.split(rows), k.split(rows), v.split(rows), biases, strict=True)
    return torch.cat(
        [functional.scaled_dot_product_attention(*part[:3], attn_mask=part[3], scale=scale) for part in parts]
    )


class _Text(_Processor):
    """Cross-attention. All frames of a video read the same text: it is projected once and not once for each frame."""

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, *_: Any, **__: Any
    ) -> Tensor:
        x, frames = hidden_states, self._now.frames
        text = encoder_hidden_states[::frames]  # (B, L, C), from (B*F, L, C)
        q = attn.to_q(x).unflatten(0, (-1, frames)).flatten(1, 2)  # (B, F*S, C)
        out = self._finish(attn, q, attn.to_k(text), attn.to_v(text))
        return out.unflatten(1, (frames, -1)).flatten(0, 1)  # (B*F, S, C)


class _Spatial(_Processor):
    """Self-attention inside a frame: softmax(q_ref k^T / sqrt(d)) v for the first N frames."""

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        x, now = hidden_states, self._now
        q = self._queries(attn, x)
        if now.save is not None:
            now.save.queries[self._name] = q
        return self._finish(attn, q, attn.to_k(x), attn.to_v(x))

    def _queries(self, attn: Attention, x: Tensor) -> Tensor:
        now = self._now
        given = now.use.queries.get(self._name) if now.use else None
        if given is None:
            return attn.to_q(x)
        videos = len(x) // now.frames
        if now.first == 0 and len(given) == now.frames:  # every query is replaced: none is computed
            return given.to(x).repeat(videos, 1, 1) if videos > 1 else given.to(x)
        q = attn.to_q(x)
        q.unflatten(0, (videos, -1))[now.first :, : len(given)] = given.to(q)
        return q


class _Temporal(_Processor):
    """Self-attention along time: the logits towards frame 0 are those towards the reference's frame 0."""

    def __init__(self, now: _Pass, name: str, marked: bool) -> None:
        super().__init__(now, name)
        self._marked = marked  # whether this layer is saved and composed

    def __call__(self, attn: Attention, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        x, now = hidden_states, self._now
        q, k, v, more = attn.to_q(x), attn.to_k(x), attn.to_v(x), None  # (B*h*w, F, C)
        if now.save is not None and self._marked:
            now.save.keys[self._name] = k[:, 0].clone()  # a copy lets go of the other frames
        given = now.use.keys.get(self._name) if now.use else None
        if given is not None:
            more = self._look(attn, q, k, given.to(k))
        return self._finish(attn, q, k, v, more)

    def _look(self, attn: Attention, q: Tensor, k: Tensor, given: Tensor) -> Tensor | None:
        """Put the reference's key in the place of frame 0's, and give the logits' change by the factor: the rest of
        (1 + lambda f / 50) q_f k_0 / sqrt(d), (P, heads, F)."""
        now, places = self._now, len(given)
        k.unflatten(0, (-1, places))[now.first :, :, 0] = given
        if now.factor is None:
            return None
        heads, width = attn.heads, k.shape[-1] // attn.heads
        q, k0 = q.unflatten(-1, (heads, -1)), k[:, 0].unflatten(-1, (heads, -1))  # (P, F, heads, d), (P, heads, d)
        logits = torch.einsum("pfhd,phd->phf", q, k0) * (now.factor.to(q.dtype) * width**-0.5)
        logits[: now.first * places] = 0
        return logits
