"""tiny-animatex and -mamba: Animate-X's classes at toy size with seeded random weights, in milliseconds, for tests."""

from __future__ import annotations

from typing import Any

from motionkit.backbones.fingerprints import fingerprint
from motionkit.backbones.spec import BackboneSpec
from motionkit.backbones.tiny_sizes import OUTPUT_SCALE
from motionkit.errors import UserError
from motionkit.methods.animatex.net.config import TINY, AnimateXConfig
from motionkit.methods.animatex.net.tiny_sizes import CONFIGS, IMAGE_ENCODER
from motionkit.settings.gpu import Plan


def load(spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False) -> Any:
    """A toy with weights drawn from `seed`, apart from the global generator. Raises: UserError when a path is given."""
    import torch

    from motionkit.methods.animatex.net.backbone import AnimateXBackbone
    from motionkit.weights.building import drawing

    if path:
        raise UserError(f"{spec.name} has random weights and reads no folder: leave backbone.path out")
    with drawing(seed):
        parts = components(CONFIGS[spec.name])
    for name in ("vae", "network", "text_encoder", "image_encoder"):
        torch.nn.Module.to(parts[name], getattr(torch, plan.dtype))  # diffusers' own `to` warns at every call
    return AnimateXBackbone(spec, plan, **parts, fingerprint=fingerprint(spec, seed=seed))


def components(config: AnimateXConfig = TINY) -> dict[str, Any]:
    """The six parts, weights drawn from the global generator.

    New, the network's layers add nothing to what passes them; here they do, as trained ones do.
    """
    import torch
    from diffusers import DDIMScheduler
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from motionkit.backbones import tiny
    from motionkit.methods.animatex.net.backbone import SCHEDULE
    from motionkit.methods.animatex.net.network import AnimateXNetwork

    parts = tiny.components("v_prediction")
    network = AnimateXNetwork(config)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    network.unet.conv_out.weight.data *= OUTPUT_SCALE
    del parts["unet"]
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(IMAGE_ENCODER))
    return parts | {"network": network, "image_encoder": encoder, "scheduler": DDIMScheduler(**SCHEDULE)}
