"""The sizes of the tiny backbones, which decide what they compute together with a seed. No torch."""

from __future__ import annotations

from typing import Any

OUTPUT_SCALE = 0.2  # an untrained UNet at full strength is so rough that DDIM inversion needs 1000 steps to come back
ARCHITECTURE: dict[str, dict[str, Any]] = {
    "vae": {
        "block_out_channels": (8, 8, 8),
        "norm_num_groups": 4,
        "layers_per_block": 1,
        "sample_size": 64,
        "scaling_factor": 4.0,  # brings latents to a standard deviation near 1
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
    },
    "unet": {
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "layers_per_block": 1,
        "sample_size": 16,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "text_encoder": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "projection_dim": 16,
    },
    "scheduler": {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    },
}
VIDEO_UNET: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "sample_size": 16,
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
}
ADAPTER: dict[str, Any] = {
    "motion_layers_per_block": 1,
    "motion_num_attention_heads": 2,
    "motion_norm_num_groups": 4,
    "motion_max_seq_length": 32,
    "use_motion_mid_block": False,
}
# XL's architecture: no attention at the finest level, several transformer layers at the coarsest, and further inputs
# beside the text.
XL_UNET: dict[str, Any] = {
    "block_out_channels": (8, 8, 16),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "sample_size": 16,
    "cross_attention_dim": 16 + 24,
    "attention_head_dim": (1, 2, 4),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 20 + 6 * 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}
XL_TEXT = {"hidden_size": 24, "projection_dim": 20}


def architecture(family: str) -> dict[str, dict[str, Any]]:
    """The sizes of every part of the toy of a family, or of its image model ("animatediff...")."""
    if family in ("sdxl", "animatediff-xl"):
        return ARCHITECTURE | {"unet": XL_UNET, "text_encoder_2": ARCHITECTURE["text_encoder"] | XL_TEXT}
    return ARCHITECTURE | ({"unet": VIDEO_UNET} if family == "modelscope" else {})
