"""Builds a backbone of its real size from configurations alone, for `world`: its weights are only shapes."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNet3DConditionModel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from motionkit.backbones.base import VideoBackbone
from motionkit.backbones.catalog import BackboneSpec
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.pretend.configs import Configs, configs_of
from motionkit.settings.gpu import Plan
from motionkit.weights.building import on_meta


def shape_of(spec: BackboneSpec, plan: Plan, configs: Configs | None = None) -> VideoBackbone:
    """The backbone with empty weights in the plan's type, where the plan keeps them; call it inside `world`.

    Raises:
        UserError: its configuration is not known.
    """
    configs = configs or configs_of(spec)
    if spec.shapes:
        made: VideoBackbone = importlib.import_module(spec.shapes).assemble(spec, plan, _empty(spec, plan, configs))
        return made
    return (_modelscope if spec.family == "modelscope" else _stable_diffusion)(spec, plan, configs)


def weights_of(spec: BackboneSpec) -> dict[str, int]:
    """Part -> how many values its weights have; those that stay in float32 count twice. Nothing is allocated."""
    configs = configs_of(spec)
    with on_meta():
        parts = {name: _model(spec, name, config) for name, config in configs.items() if name != "scheduler"}
    sizes = {name: _values(part) for name, part in parts.items()}
    sizes["unet"] += sizes.pop("motion_adapter", 0)
    return sizes


def _values(part: nn.Module) -> int:
    exact = [module for module in part.modules() if getattr(module, "exact", False)]
    return sum(p.numel() for module in (part, *exact) for p in module.parameters())


def _model(spec: BackboneSpec, name: str, config: dict[str, Any]) -> nn.Module:
    if name == "unet" and spec.shapes:
        made: nn.Module = importlib.import_module(spec.shapes).network(config)
        return made
    if name == "unet":
        kind: Any = UNet3DConditionModel if spec.family == "modelscope" else UNet2DConditionModel
        return kind.from_config(config)
    if name == "image_encoder":
        return CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(config))
    if name.startswith("text_encoder"):
        text: Any = CLIPTextModelWithProjection if name.endswith("_2") else CLIPTextModel
        return text(CLIPTextConfig.from_dict(config))
    return (AutoencoderKL if name == "vae" else MotionAdapter).from_config(config)


def _empty(spec: BackboneSpec, plan: Plan, configs: Configs) -> dict[str, Any]:
    """Every part that holds weights, with tokenizers that know no words and the schedule."""
    dtype = getattr(torch, plan.dtype)
    with on_meta():
        parts: dict[str, Any] = {n: _model(spec, n, config) for n, config in configs.items() if n != "scheduler"}
    place = plan.device if plan.offload == "none" else "cpu"
    for name, part in parts.items():
        wide = name in spec.upcast and dtype == torch.float16  # as the loader has it
        _fill(part, torch.float32 if wide else dtype, place)
    for name in [name for name in parts if name.startswith("text_encoder")]:
        length = configs[name].get("max_position_embeddings", 77)
        parts[name.replace("text_encoder", "tokenizer")] = _NoWords(length)
    known = {k: v for k, v in configs["scheduler"].items() if not k.startswith("_")}
    known = {k: v for k, v in known.items() if k in DDIMScheduler().config} | {"clip_sample": False}
    return parts | {"scheduler": DDIMScheduler(**known), "fingerprint": f"shapes of {spec.name}"}


def _fill(part: nn.Module, dtype: torch.dtype, device: str) -> None:
    """Weights of that type there, without values; so are the buffers that lie in a file of weights."""
    for module in part.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                made = torch.empty(weight.shape, dtype=dtype, device=device)
                module._parameters[name] = nn.Parameter(made, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                read = buffer.is_floating_point() and name not in module._non_persistent_buffers_set
                module._buffers[name] = torch.empty_like(buffer, dtype=dtype if read else buffer.dtype, device=device)


class _NoWords:
    """A tokenizer for which every text is one word, repeated."""

    def __init__(self, length: int) -> None:
        self.model_max_length = length

    def __call__(self, texts: Any, **how: Any) -> Any:
        if "return_tensors" not in how:
            return {"input_ids": [1]}
        return SimpleNamespace(input_ids=torch.ones(len(texts), self.model_max_length, dtype=torch.long))


def _stable_diffusion(spec: BackboneSpec, plan: Plan, configs: Configs) -> VideoBackbone:
    from motionkit.backbones import animatediff, sd

    parts = _empty(spec, plan, configs)
    if not spec.base:
        return (sd.StableDiffusionXL if spec.family == "sdxl" else sd.StableDiffusion)(spec, plan, **parts)
    parts["unet"] = animatediff.join(parts["unet"], parts.pop("motion_adapter"))
    return animatediff.class_of(spec)(spec, plan, **parts, per_frame_norm=MotionOptions().per_frame(spec))


def _modelscope(spec: BackboneSpec, plan: Plan, configs: Configs) -> VideoBackbone:
    from motionkit.backbones.modelscope import ModelScopeBackbone

    return ModelScopeBackbone(spec, plan, **_empty(spec, plan, configs))
