"""LoRA pairs put into a UNet by peft, whichever of diffusers' classes it is."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer

from motionkit.weights.building import drawing


def add_lora(unet: Any, layers: list[str] | str, rank: int, seed: int) -> None:
    """Put LoRA pairs with alpha = rank into layers of a UNet; B is zero, so that nothing changes yet.

    diffusers' UNet3DConditionModel has no `add_adapter` as its other UNets have; peft puts the same pairs into it.

    Args:
        layers: their names, or a regular expression of whole names.
        seed: of A, drawn apart from the global generator.
    """
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=layers)
    with drawing(seed):  # peft draws from the global generator
        if hasattr(unet, "add_adapter"):
            unet.add_adapter(config)
        else:
            inject_adapter_in_model(config, unet)
    take_keywords(unet)


def take_keywords(unet: Any) -> None:
    """Let tuned layers be called as `layer(input=x)`, which diffusers' motion modules do and peft does not expect.

    Call it after LoRA pairs were put into a UNet.
    """
    for name, module in unet.named_modules():
        end = "motion_modules" in name and name.endswith(("proj_in", "proj_out"))
        if end and isinstance(module, BaseTunerLayer):
            module.register_forward_pre_hook(_positional, with_kwargs=True)  # type: ignore[attr-defined]


def _positional(module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (given, named) if "input" not in named else ((named.pop("input"), *given), named)
