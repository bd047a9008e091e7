"""A diffusion transformer (Peebles and Xie, arXiv 2212.09748) over clips: attention in space, to text, over time."""

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import AttentionMixin
from diffusers.models.attention_processor import Attention
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from einops import rearrange, repeat
from torch import nn

ROLES = {"space": "spatial_self", "text": "cross", "time": "temporal_self"}


class Flow16Transformer(ModelMixin, ConfigMixin, AttentionMixin):
    """The velocity eps - x0 of latents (B, C, F, h, w) at timesteps in [0, 1000]."""

    @register_to_config
    def __init__(self, channels=16, width=24, heads=2, depth=3, text_width=16):
        super().__init__()
        self.enter, self.leave = nn.Linear(channels, width), nn.Linear(width, channels)
        self.clock = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads, text_width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def attention_place(self, name):
        """Role and block of an attention layer, which motionkit tells by name from diffusers' UNets alone."""
        return ROLES.get(name.rsplit(".", 1)[-1], ""), "mid"

    def forward(self, sample, timestep, encoder_hidden_states):
        b, _, f, h, w = sample.shape
        x = self.enter(rearrange(sample, "b c f h w -> b f (h w) c"))
        x = x + self.clock(waves(timestep, x.shape[-1]).to(x))[:, None, None]
        x = x + waves(torch.arange(f, device=x.device) * 20.0, x.shape[-1]).to(x)[None, :, None]
        x = x + waves(torch.arange(h * w, device=x.device) * 5.0, x.shape[-1]).to(x)
        for block in self.blocks:
            x = block(x, encoder_hidden_states)
        return Transformer2DModelOutput(rearrange(self.leave(self.norm(x)), "b f (h w) c -> b c f h w", h=h, w=w))


class Block(nn.Module):
    """(B, F, h w, C) to the same shape."""

    def __init__(self, width, heads, text_width):
        super().__init__()
        shape = {"query_dim": width, "heads": heads, "dim_head": width // heads}
        self.space, self.time = Attention(**shape), Attention(**shape)
        self.text = Attention(**shape, cross_attention_dim=text_width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x, text):
        frames, places = x.shape[1:3]
        x = rearrange(x, "b f n c -> (b f) n c")
        x = x + self.space(self.norms[0](x))
        x = x + self.text(self.norms[1](x), repeat(text, "b l c -> (b f) l c", f=frames))
        x = rearrange(x, "(b f) n c -> (b n) f c", f=frames)
        x = x + self.time(self.norms[2](x))
        x = x + self.mlp(self.norms[3](x))
        return rearrange(x, "(b n) f c -> b f n c", n=places)


def waves(places, width):
    """Sines and cosines of places (N,), (N, width)."""
    angles = places[:, None].float() * torch.exp(
        -math.log(1e4) * torch.arange(width // 2, device=places.device) / width
    )
    return torch.cat([angles.sin(), angles.cos()], -1)
