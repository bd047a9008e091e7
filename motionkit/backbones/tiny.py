"""tiny-sd and tiny-modelscope: the real classes at toy size with seeded random weights, in milliseconds, for tests.

They draw nothing recognisable. Their autoencoder and UNet only have the right shapes, ranges and dependences.
"""

from __future__ import annotations

from typing import Any

from motionkit.backbones.catalog import BackboneSpec
from motionkit.errors import UserError
from motionkit.gpu import Plan

WORDS = tuple("a the of cat dog horse turtle bird red green blue yellow black white running walking jumping on".split())
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


def architecture(family: str) -> dict[str, dict[str, Any]]:
    """The sizes of every part of the toy of a family ("sd", "modelscope" or "animatex")."""
    if family == "animatex":
        from motionkit.backbones.animatex import tiny as animatex

        return ARCHITECTURE | animatex.architecture()
    return ARCHITECTURE | ({"unet": VIDEO_UNET} if family == "modelscope" else {})


def load(spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False) -> Any:
    """A toy of the spec's family with weights drawn from `seed`, apart from the global generator.

    Raises: UserError when a path is given.
    """
    import torch

    from motionkit.backbones.files import fingerprint
    from motionkit.building import drawing

    if path:
        raise UserError(f"{spec.name} makes its weights from the seed and reads no folder: leave backbone.path out")
    with drawing(seed):
        parts = components(family=spec.family)
    for name in ("vae", "unet", "text_encoder"):
        torch.nn.Module.to(parts[name], getattr(torch, plan.dtype))  # diffusers' own `to` warns at every call
    return _class(spec.family)(spec, plan, **parts, fingerprint=fingerprint(spec, seed=seed))


def _class(family: str) -> Any:
    if family == "modelscope":
        from motionkit.backbones.modelscope import ModelScopeBackbone

        return ModelScopeBackbone
    from motionkit.backbones.sd import StableDiffusion

    return StableDiffusion


def components(prediction_type: str = "epsilon", family: str = "sd") -> dict[str, Any]:
    """The five parts, weights drawn from the global generator (save them to make a folder in the hub's layout)."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from motionkit.backbones.words import vocabulary

    vocab, rules = vocabulary(WORDS)
    merges: Any = rules
    sizes = architecture(family)
    ids = {"bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1, "pad_token_id": len(vocab) - 1}
    text = CLIPTextConfig.from_dict({"vocab_size": len(vocab), **ids, **sizes["text_encoder"]})
    unet = _video_unet() if family == "modelscope" else UNet2DConditionModel(**sizes["unet"])
    unet.conv_out.weight.data *= OUTPUT_SCALE
    return {
        "vae": AutoencoderKL(**sizes["vae"]),
        "unet": unet,
        "text_encoder": CLIPTextModel(text),
        "tokenizer": CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16),
        "scheduler": DDIMScheduler(**sizes["scheduler"], prediction_type=prediction_type),
    }


def _video_unet() -> Any:
    """diffusers starts the temporal convolutions as the identity; here they mix frames, as trained ones do."""
    from diffusers import UNet3DConditionModel
    from diffusers.models.resnet import TemporalConvLayer

    unet = UNet3DConditionModel(**VIDEO_UNET)
    for module in unet.modules():
        if isinstance(module, TemporalConvLayer):
            module.conv4[-1].reset_parameters()
    return unet
