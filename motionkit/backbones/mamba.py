"""Mamba along time: a bidirectional selective state-space block, and a stand-in for a UNet's temporal transformer.

Mamba: Gu and Dao 2023, arXiv 2312.00752. Both directions with shared projections: Vision Mamba, arXiv 2401.09417,
algorithm 1. Animate-X (arXiv 2410.10306, section 3.1) names Mamba as its temporal module; its released weights hold
temporal transformers, so no public weights fit here. Shape legend: N sequences, T time steps, C channels, E = expand C.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModelOutput
from torch import Tensor, nn

from motionkit.backbones.selective_scan import selective_scan

DT_RANGE = (1e-3, 1e-1)  # initial step sizes, as in the authors' code


class Direction(nn.Module):
    """One direction of a block: causal convolution, SiLU and selective scan, (N, T, E) to (N, T, E).

    Names and shapes are those of the same layers in the authors' and in transformers' mixer.
    """

    reads_weights = True  # for `placement.group_offload`

    def __init__(self, width: int, d_state: int, d_conv: int, dt_rank: int) -> None:
        super().__init__()
        self.dt_rank, self.d_state = dt_rank, d_state
        self.conv1d = nn.Conv1d(width, width, d_conv, groups=width, padding=d_conv - 1)
        self.x_proj = nn.Linear(width, dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, width)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(width, 1))  # (E, S)
        self.D = nn.Parameter(torch.ones(width))
        nn.init.uniform_(self.dt_proj.weight, -(dt_rank**-0.5), dt_rank**-0.5)
        low, high = map(math.log, DT_RANGE)
        steps = torch.empty(width).uniform_(low, high).exp()
        with torch.no_grad():
            self.dt_proj.bias.copy_(steps + (-torch.expm1(-steps)).log())  # softplus of it is `steps`

    def forward(self, x: Tensor) -> Tensor:
        """What each step sees of itself and the steps before it."""
        x = F.silu(self._convolve(x))
        step, b, c = self.x_proj(x).split([self.dt_rank, self.d_state, self.d_state], -1)
        delta = F.softplus(F.linear(step, self.dt_proj.weight).float() + self.dt_proj.bias.float())
        y = selective_scan(x, delta, -self.A_log.float().exp(), b, c)
        return y.to(x.dtype) + self.D * x

    def _convolve(self, x: Tensor) -> Tensor:
        """The causal depthwise convolution as shifted sums, which spares two transposes."""
        weight, taps = self.conv1d.weight[:, 0], self.conv1d.weight.shape[-1]
        padded, steps = F.pad(x, (0, 0, taps - 1, 0)), x.shape[1]
        out = padded[:, taps - 1 :] * weight[:, -1]
        for k in range(taps - 1):
            out = out + padded[:, k : k + steps] * weight[:, k]
        return out if self.conv1d.bias is None else out + self.conv1d.bias


class BiMamba(nn.Module):
    """A Mamba block that looks both ways, (N, T, C) to (N, T, C); no residual, no norm.

    Args:
        channels: C.
        d_state: states of each inner channel.
        d_conv: taps of the causal convolution.
        expand: E / C.
        bidirectional: False leaves Mamba's own causal block (transformers' MambaMixer).
        dt_rank: width of the step sizes' bottleneck; None is C / 16, rounded up.

    Raises:
        ValueError: a size below 1.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        bidirectional: bool = True,
        dt_rank: int | None = None,
    ) -> None:
        super().__init__()
        rank = dt_rank or math.ceil(channels / 16)
        if min(channels, d_state, d_conv, expand, rank) < 1:
            raise ValueError("channels, d_state, d_conv, expand and dt_rank must be at least 1")
        width = expand * channels
        self.in_proj = nn.Linear(channels, 2 * width, bias=False)
        self.ahead = Direction(width, d_state, d_conv, rank)
        self.back = Direction(width, d_state, d_conv, rank) if bidirectional else None
        self.out_proj = nn.Linear(width, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (N, T, C) along T; the result of the flipped clip is the flip only if both directions weigh the same."""
        x, gate = self.in_proj(x).chunk(2, -1)  # (N, T, E) each
        y = self.ahead(x)
        if self.back is not None:
            y = y + self.back(x.flip(1)).flip(1)
        return self.out_proj(y * F.silu(gate))


class MambaTemporal(nn.Module):
    """A drop-in for diffusers' `TransformerTemporalModel`: same call, residual inside, the identity when new.

    GroupNorm over all frames, `layers` times {LayerNorm, `BiMamba`, +} on the frames of each pixel, and a projection
    that starts at zero. No positions: order is in the recurrence. Any number of frames.

    Args:
        channels: C, a multiple of `norm_groups`.
        d_state, d_conv, expand, bidirectional: of `BiMamba`.
        layers: blocks; a temporal transformer has 22 C^2 weights, one block about 8 C^2.
        norm_groups: of the GroupNorm; lowered to the largest divisor of C.
        max_tokens: without gradients, pixels are taken in turns of at most this many tokens (pixels x frames).
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        layers: int = 1,
        norm_groups: int = 32,
        bidirectional: bool = True,
        max_tokens: int = 2**16,
    ) -> None:
        super().__init__()
        groups = math.gcd(norm_groups, channels)
        self.max_tokens = max_tokens
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.mixers = nn.ModuleList(BiMamba(channels, d_state, d_conv, expand, bidirectional) for _ in range(layers))
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Any = None,
        timestep: Any = None,
        class_labels: Any = None,
        num_frames: int = 1,
        cross_attention_kwargs: Any = None,
        return_dict: bool = True,
    ) -> TransformerTemporalModelOutput | tuple[Tensor]:
        """(B*T, C, h, w) to the same shape; the other arguments are the temporal transformer's and are ignored.

        Raises:
            ValueError: the first axis is no multiple of `num_frames`.
        """
        if hidden_states.shape[0] % num_frames:
            raise ValueError(f"{hidden_states.shape[0]} pictures do not divide into clips of {num_frames} frames")
        clip = hidden_states.unflatten(0, (-1, num_frames)).transpose(1, 2)  # (B, C, T, h, w)
        tokens = self.norm(clip).permute(0, 3, 4, 2, 1).flatten(0, 2)  # (B*h*w, T, C)
        rows = max(1, self.max_tokens // num_frames)
        if torch.is_grad_enabled() or tokens.shape[0] <= rows:
            mixed = self.mix(tokens)
        else:
            mixed = torch.cat([self.mix(part) for part in tokens.split(rows)])
        batch, _, _, high, wide = clip.shape
        mixed = mixed.unflatten(0, (batch, high, wide)).permute(0, 3, 4, 1, 2).flatten(0, 1)  # (B*T, C, h, w)
        out = hidden_states + mixed
        return TransformerTemporalModelOutput(sample=out) if return_dict else (out,)

    def mix(self, tokens: Tensor) -> Tensor:
        """What is added to (N, T, C) normalised tokens, the same shape."""
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            tokens = tokens + mixer(norm(tokens))
        return self.proj_out(tokens)
