"""LoRA pairs put into a UNet by peft, whichever of diffusers' classes it is."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model


def add_lora(unet: Any, layers: list[str] | str, rank: int, seed: int) -> None:
    """Put LoRA pairs with alpha = rank into layers of a UNet; B is zero, so that nothing changes yet.

    diffusers' UNet3DConditionModel has no `add_adapter` as its other UNets have; peft puts the same pairs into it.

    Args:
        layers: their names, or a regular expression of whole names.
        seed: of A, drawn apart from the global generator.
    """
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=layers)
    with torch.random.fork_rng(devices=[]):  # peft draws from the global generator
        torch.manual_seed(seed)
        if hasattr(unet, "add_adapter"):
            unet.add_adapter(config)
        else:
            inject_adapter_in_model(config, unet)
