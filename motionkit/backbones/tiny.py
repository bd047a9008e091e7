"""tiny-sd, tiny-sdxl and tiny-modelscope: the real classes at toy size, seeded random weights, milliseconds: for tests.

They draw nothing recognisable. Their autoencoder and UNet only have the right shapes, ranges and dependences.
"""

from __future__ import annotations

from typing import Any

from motionkit.backbones.fingerprints import fingerprint
from motionkit.backbones.spec import BackboneSpec
from motionkit.backbones.tiny_sizes import OUTPUT_SCALE, VIDEO_UNET, XL_TEXT, XL_UNET, architecture
from motionkit.backbones.tiny_tokenizer import vocabulary
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan

WORDS = tuple("a the of cat dog horse turtle bird red green blue yellow black white running walking jumping on".split())


def load(spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False) -> Any:
    """A toy of the spec's family with weights drawn from `seed`, apart from the global generator.

    Raises: UserError when a path is given.
    """
    import torch

    from motionkit.weights.building import drawing

    if path:
        raise UserError(f"{spec.name} draws random weights from the seed and reads no folder: leave backbone.path out")
    with drawing(seed):
        parts = xl_components() if spec.family == "sdxl" else components(family=spec.family)
    for name in parts.keys() & {"vae", "unet", "text_encoder", "text_encoder_2"}:
        torch.nn.Module.to(parts[name], getattr(torch, plan.dtype))  # diffusers' own `to` warns at every call
    return _class(spec.family)(spec, plan, **parts, fingerprint=fingerprint(spec, seed=seed))


def _class(family: str) -> Any:
    if family == "modelscope":
        from motionkit.backbones.modelscope import ModelScopeBackbone

        return ModelScopeBackbone
    from motionkit.backbones.sd import StableDiffusion, StableDiffusionXL

    return StableDiffusionXL if family == "sdxl" else StableDiffusion


def components(prediction_type: str = "epsilon", family: str = "sd") -> dict[str, Any]:
    """The five parts, weights drawn from the global generator (save them to make a folder in the hub's layout)."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

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


def xl_components() -> dict[str, Any]:
    """The seven parts of a toy in XL's plan, drawn likewise."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    parts = components()
    unet = UNet2DConditionModel(**XL_UNET)
    unet.conv_out.weight.data *= OUTPUT_SCALE
    text = CLIPTextConfig.from_dict(parts["text_encoder"].config.to_dict() | XL_TEXT)
    second = {"text_encoder_2": CLIPTextModelWithProjection(text), "tokenizer_2": parts["tokenizer"]}
    return parts | {"unet": unet} | second


def _video_unet() -> Any:
    """diffusers starts the temporal convolutions as the identity; here they mix frames, as trained ones do."""
    from diffusers import UNet3DConditionModel
    from diffusers.models.resnet import TemporalConvLayer

    unet = UNet3DConditionModel(**VIDEO_UNET)
    for module in unet.modules():
        if isinstance(module, TemporalConvLayer):
            module.conv4[-1].reset_parameters()
    return unet
