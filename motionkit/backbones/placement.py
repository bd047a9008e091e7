"""Puts a memory plan into effect on loaded networks: device, attention processors, memory format, offload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from motionkit.settings.gpu import Plan


class Networks(Protocol):
    """What of a backbone is placed."""

    vae: Any
    unet: Any
    patch: int

    def parts(self) -> list[Any]:
        """The models that hold weights."""


def apply(plan: Plan, backbone: Networks) -> Plan:
    """Put the plan into effect on a loaded backbone, and return what took effect (read back, not assumed)."""
    if plan.offload == "none":
        for part in backbone.parts():
            part.to(plan.device)
    notes = list(plan.notes)
    prepare_vae(plan, backbone.vae)
    if plan.vae_tiling:
        notes.append(f"vae_tiling: above {backbone.vae.tile_sample_min_size * backbone.patch} px a side")
    attention = prepare_unet(plan, backbone.unet)
    return replace(plan, attention=attention, notes=tuple(notes))


def prepare_vae(plan: Plan, vae: Any) -> None:
    """The plan's switches on an autoencoder; where parts are offloaded it stays on the CPU until it is used."""
    import torch

    if plan.offload == "none":
        vae.to(plan.device)
    if plan.vae_tiling:
        vae.enable_tiling()
    if plan.channels_last:
        vae.to(memory_format=torch.channels_last)
    set_attention(vae, "sdpa")  # its single head of 512 channels has no xformers kernel


def prepare_unet(plan: Plan, unet: Any) -> str:
    """The plan's switches on one UNet; returns the attention that its processors really are.

    Where parts are offloaded the UNet stays on the CPU until it is used.
    """
    import torch

    from motionkit.backbones import checkpointing

    if plan.offload == "none":
        unet.to(plan.device)
    if plan.channels_last:
        for layer in unet.modules():
            if isinstance(layer, torch.nn.Conv2d):  # a video UNet as a whole refuses, for its 3D convolutions
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if plan.checkpointing:
        checkpointing.enable(unet)
    set_attention(unet, plan.attention)
    if plan.device == "cpu":
        from motionkit.backbones.flatconv import flatten_convolutions

        flatten_convolutions(unet)
    if plan.compile:
        unet.compile()
    kinds = {type(processor).__name__ for processor in unet.attn_processors.values()}
    names = {"AttnProcessor2_0": "sdpa", "XFormersAttnProcessor": "xformers"}
    return "+".join(sorted(names.get(kind, kind) for kind in kinds))


def set_attention(module: Any, attention: str) -> None:
    """Install the processors themselves: diffusers' own switch for this does nothing on UNets."""
    from diffusers.models.attention_processor import AttnProcessor2_0, XFormersAttnProcessor

    module.set_attn_processor(XFormersAttnProcessor() if attention == "xformers" else AttnProcessor2_0())


def group_offload(part: Any, device: str) -> None:
    """Keep a module's layers on the CPU but for the one that computes (for inference). A second call does nothing.

    A module that reads its layers' weights instead of calling them (`reads_weights`) comes and goes as a whole.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    if getattr(part, "_motionkit_offloaded", False):
        return
    apply_group_offloading(part, torch.device(device), offload_type="leaf_level")
    for module in _outermost(part):
        for inner in module.modules():
            if hasattr(inner, "_diffusers_hook"):
                inner._diffusers_hook.remove_hook("group_offloading", recurse=False)
        module.register_forward_pre_hook(lambda one, _: move(one, device))
        module.register_forward_hook(lambda one, *_: move(one, "cpu"))
    part._motionkit_offloaded = True


def move(module: Any, device: str) -> None:
    """Bring a module to a device."""
    module.to(device)


def _outermost(part: Any) -> list[Any]:
    """The largest modules whose forward reads the weights of layers below it."""
    import torch

    kinds = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer)
    found: dict[str, Any] = {}
    for name, module in part.named_modules():
        if isinstance(module, kinds) or getattr(module, "reads_weights", False):
            if not any(name.startswith(f"{above}.") for above in found):
                found[name] = module
    return list(found.values())
