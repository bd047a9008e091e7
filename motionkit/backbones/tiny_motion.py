"""tiny-animatediff-sd15 and -sdxl: AnimateDiff's classes at toy size with seeded random weights, for tests."""

from __future__ import annotations

from typing import Any

from motionkit.backbones.catalog import BackboneSpec
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.tiny import ARCHITECTURE, OUTPUT_SCALE, components
from motionkit.errors import UserError
from motionkit.gpu import Plan

ADAPTER: dict[str, Any] = {
    "motion_layers_per_block": 1,
    "motion_num_attention_heads": 2,
    "motion_norm_num_groups": 4,
    "motion_max_seq_length": 32,
    "use_motion_mid_block": False,
}
# XL's plan: no attention at the finest level, several transformer layers at the coarsest, conditions beside the text.
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
    """The sizes of every part of the toy image model of a family ("animatediff" or "animatediff-xl")."""
    if family != "animatediff-xl":
        return ARCHITECTURE
    return ARCHITECTURE | {"unet": XL_UNET, "text_encoder_2": ARCHITECTURE["text_encoder"] | XL_TEXT}


def parts_of(family: str) -> dict[str, Any]:
    """The parts of a toy image model, and `motion_adapter`; weights are drawn from the global generator.

    Save them to make folders in the layouts of the hub.
    """
    from diffusers import MotionAdapter, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    parts = components()
    if family == "animatediff-xl":
        unet = UNet2DConditionModel(**XL_UNET)
        unet.conv_out.weight.data *= OUTPUT_SCALE
        text = CLIPTextConfig.from_dict(parts["text_encoder"].config.to_dict() | XL_TEXT)
        parts |= {"unet": unet, "text_encoder_2": CLIPTextModelWithProjection(text), "tokenizer_2": parts["tokenizer"]}
    widths = architecture(family)["unet"]["block_out_channels"]
    return parts | {"motion_adapter": MotionAdapter(block_out_channels=widths, **ADAPTER)}


def load(
    spec: BackboneSpec,
    plan: Plan,
    path: str | None = None,
    seed: int = 0,
    online: bool = False,
    motion: MotionOptions | None = None,
) -> Any:
    """A toy of the spec's family with weights drawn from `seed`, apart from the global generator.

    Raises: UserError when a path or a motion adapter is given.
    """
    import torch

    from motionkit.backbones import animatediff, motion_files
    from motionkit.building import drawing

    motion = motion or MotionOptions()
    motion.check(spec)
    if path:
        raise UserError(f"{spec.name} makes its weights from the seed and reads no folder: leave backbone.path out")
    with drawing(seed):
        parts = parts_of(spec.family)
    parts["unet"] = animatediff.join(parts["unet"], parts.pop("motion_adapter"))
    for name, part in parts.items():
        if "tokenizer" not in name and name != "scheduler":
            torch.nn.Module.to(part, getattr(torch, plan.dtype))  # diffusers' own `to` warns at every call
    parts["scheduler"] = animatediff.schedule(spec, parts["scheduler"], motion)
    found = motion_files.fingerprint(spec, seed=seed, options=motion)
    return animatediff.class_of(spec)(spec, plan, **parts, fingerprint=found, per_frame_norm=motion.per_frame(spec))
