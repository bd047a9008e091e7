"""The implicit pose indicator: motion tokens of each frame from its keypoints and the features of its picture.

Paper: Tan et al., Animate-X, arXiv 2410.10306, section 3.2, as the authors' code computes it (perceiver layers, four
tokens a frame). Their keypoint encoder mixes frames and samples up when a batch holds several clips; this one does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from motionkit.methods.animatex.net.adapters import token_maker
from motionkit.methods.animatex.net.config import IndicatorConfig

JOINTS = 18


def positions(count: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sinusoids (count, width) for positions 0..count - 1: sine at even, cosine at odd places (arXiv 1706.03762)."""
    place = torch.arange(width, device=device)
    angle = torch.arange(count, device=device)[:, None] / 10000 ** (2 * (place // 2) / width)
    return torch.where(place % 2 == 0, angle.sin(), angle.cos()).to(dtype)


class KeypointEncoder(nn.Module):
    """Keypoints of a clip to queries of each frame."""

    def __init__(self, config: IndicatorConfig) -> None:
        super().__init__()
        width = config.width
        self.tokens = config.tokens
        self.embed = nn.Sequential(nn.Linear(2 * JOINTS, width // 2), nn.Linear(width // 2, width))
        layer = nn.TransformerEncoderLayer(
            width, config.encoder_heads, config.feedforward, config.dropout, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.encoder_layers, enable_nested_tensor=False)
        self.query = token_maker(width, width, config.tokens)
        for parameter in self.query[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, keypoints: Tensor) -> Tensor:
        """(B, T, 2, 18), x's then y's, to (B, T, tokens, C)."""
        x = self.embed(keypoints.flatten(2))  # (B, T, C)
        x = self.encoder(x + positions(x.shape[1], x.shape[2], x.device, x.dtype))
        return self.query(x).unflatten(-1, (self.tokens, -1))  # (B, T, tokens, C)


class PerceiverAttention(nn.Module):
    """Tokens read the features of their frame and themselves."""

    def __init__(self, config: IndicatorConfig) -> None:
        super().__init__()
        width, inner = config.width, config.heads * config.head_dim
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Features (N, S, C) and tokens (N, L, C) to what is added to the tokens."""
        tokens = self.norm2(tokens)
        both = torch.cat([self.norm1(features), tokens], dim=1)  # (N, S + L, C)
        q = self.to_q(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, H, L, d)
        k, v = self.to_kv(both).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, H, S + L, d) each
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))  # (N, L, C)


class PerceiverLayer(nn.Module):
    """Perceiver attention and an MLP, each added to the tokens."""

    def __init__(self, config: IndicatorConfig) -> None:
        super().__init__()
        width, inner = config.width, config.expansion * config.width
        self.attention = PerceiverAttention(config)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, inner, bias=False), nn.GELU(), nn.Linear(inner, width, bias=False)
        )

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Features (N, S, C) and tokens (N, L, C) to tokens (N, L, C)."""
        tokens = tokens + self.attention(features, tokens)
        return tokens + self.mlp(tokens)


class Resampler(nn.Module):
    """Learned tokens plus the keypoints' queries, refined by the picture's features (as `query` of the config says)."""

    def __init__(self, config: IndicatorConfig, feature_dim: int, context_dim: int) -> None:
        super().__init__()
        self.query = config.query
        self.latents = nn.Parameter(torch.randn(1, config.tokens, config.width) / config.width**0.5)
        self.proj_in = nn.Linear(feature_dim, config.width)
        self.layers = nn.ModuleList(PerceiverLayer(config) for _ in range(config.depth))
        self.proj_out = nn.Linear(config.width, context_dim)
        self.norm_out = nn.LayerNorm(context_dim)

    def forward(self, queries: Tensor, features: Tensor) -> Tensor:
        """Queries (N, tokens, C) and pooled features (N, S, feature_dim) to motion tokens (N, tokens, D)."""
        features = self.proj_in(features)
        if self.query == "features":
            tokens, features = self.latents + features.mean(1, keepdim=True), queries  # (N, tokens, C) both
        else:
            given = {"both": self.latents + queries, "keypoints": queries, "learned": self.latents.expand_as(queries)}
            tokens = given[self.query]
        for layer in self.layers:
            tokens = layer(features, tokens)
        return self.norm_out(self.proj_out(tokens))


class ImplicitPoseIndicator(nn.Module):
    """Motion tokens f_i of every frame, slot 0 (the reference) first.

    Attributes:
        exact: that it stays in float32 where the network is in half precision, since it reads coordinates.
    """

    exact = True

    def __init__(self, config: IndicatorConfig, feature_dim: int, context_dim: int) -> None:
        super().__init__()
        self.keypoints = KeypointEncoder(config)
        self.resampler = Resampler(config, feature_dim, context_dim)

    def forward(self, keypoints: Tensor, features: Tensor) -> Tensor:
        """Keypoints (B, T, 2, 18), invisible ones -1, and pooled features (B, T, feature_dim) to (B T, tokens, D)."""
        queries = self.keypoints(keypoints).flatten(0, 1)  # (B T, tokens, C)
        return self.resampler(queries, features.flatten(0, 1)[:, None])  # features: (B T, 1, feature_dim)
