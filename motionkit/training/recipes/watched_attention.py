"""Attention that keeps its maps during training, so that a loss may say where it should look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import Tensor


class WatchedAttention:
    """Plain attention that keeps its map (B, queries, keys), the mean over heads, where it is asked to.

    Args:
        is_kept: of the layer, its number of queries, and whether it reads something else than itself.

    Attributes:
        maps: of the passes since they were last taken.
    """

    def __init__(self, is_kept: Callable[[Attention, int, bool], bool]) -> None:
        self.is_kept, self.maps = is_kept, list[Tensor]()

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """(B, L, C) to the same shape."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, H, L or S, d) each
            for layer, x in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        weights = (q * attn.scale @ k.transpose(-1, -2)).softmax(-1)  # (B, H, L, S)
        if self.is_kept(attn, q.shape[2], encoder_hidden_states is not None):
            self.maps.append(weights.mean(1))
        out = (weights.to(v.dtype) @ v).transpose(1, 2).flatten(2)  # (B, L, C)
        return attn.to_out[1](attn.to_out[0](out))

    def take(self) -> list[Tensor]:
        """The maps, which are then forgotten."""
        taken, self.maps = self.maps, []
        return taken
