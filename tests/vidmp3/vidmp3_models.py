"""Tiny AnimateDiff UNets with the real ones' layout, made from a tiny image UNet and a tiny MotionAdapter."""

import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

SIZES = {
    "sd15": {
        "block_out_channels": (8, 16, 16, 16),
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    },
    "sdxl": {
        "block_out_channels": (8, 8, 16),
        "cross_attention_dim": 12,
        "attention_head_dim": (1, 1, 2),
        "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 30,
    },
}


def make_unet(kind, mid=None, seed=0, frames=32):
    """A random UNetMotionModel; `kind` "sd15" or "sdxl", `mid` whether its mid block has a motion module."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = UNet2DConditionModel(layers_per_block=2, norm_num_groups=4, **SIZES[kind])
        adapter = MotionAdapter(
            block_out_channels=SIZES[kind]["block_out_channels"],
            motion_num_attention_heads=2,
            motion_norm_num_groups=4,
            motion_max_seq_length=frames,
            use_motion_mid_block=bool(mid),
        )
        return UNetMotionModel.from_unet2d(image, adapter).eval().requires_grad_(False)


def request_of(kind, frames=4, batch=1, size=(8, 12), seed=1):
    """Arguments of one call: latents (B, 4, F, h, w), a timestep, text for each frame, and SDXL's conditions."""
    g = torch.Generator().manual_seed(seed)
    call = {
        "sample": torch.randn(batch, 4, frames, *size, generator=g),
        "timestep": torch.full((batch,), 500),
        "encoder_hidden_states": torch.randn(batch, 5, 12, generator=g).repeat_interleave(frames, 0),
    }
    if kind == "sdxl":
        text, ids = torch.randn(batch, 6, generator=g), torch.arange(6.0).expand(batch, -1)
        call["added_cond_kwargs"] = {"text_embeds": text, "time_ids": ids}
    return call
