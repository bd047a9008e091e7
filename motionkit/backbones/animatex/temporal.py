"""The layers along time: the temporal transformer of the released weights, or Mamba as in the paper."""

from __future__ import annotations

from typing import Any

from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from motionkit.backbones.animatex.config import AnimateXConfig


class TemporalTransformer(TransformerTemporalModel):
    """diffusers' temporal transformer, to which what is for the spatial sites means nothing."""

    def __init__(self, config: AnimateXConfig, channels: int, heads: int) -> None:
        super().__init__(heads, config.head_dim, in_channels=channels, norm_num_groups=config.groups)
        for parameter in self.proj_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, hidden_states: Tensor, *, num_frames: int = 1, **_: Any) -> tuple[Tensor]:
        """(B T, C, h, w) to the same shape, in a tuple."""
        return super().forward(hidden_states, num_frames=num_frames, return_dict=False)


def temporal_module(config: AnimateXConfig, channels: int, heads: int) -> nn.Module:
    """The configuration's temporal module for that many channels; new, it is the identity."""
    if config.temporal == "transformer":
        return TemporalTransformer(config, channels, heads)
    from motionkit.backbones.mamba import MambaTemporal

    return MambaTemporal(channels, norm_groups=config.groups, **config.mamba)
