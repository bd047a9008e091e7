"""Low-rank factors on a video UNet and a text encoder: putting them in, and writing them as one file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save
from torch import Tensor, nn

from motionkit.backbones.adapters import take_keywords
from motionkit.errors import UserError
from motionkit.media import replacing
from motionkit.weights.building import drawing

KINDS = (nn.Linear, nn.Conv2d, nn.Conv3d)  # the 574 layers of the real UNet (the size of the authors' file says so)
TEMPORAL = ("temp_convs", "temp_attentions", "transformer_in", "motion_modules")
_ATTENTION = re.compile(r"\.attn[12]\.(to_q|to_k|to_v|to_out\.0)$")
_TEXT = re.compile(r"layers\.\d+\..*\.?(q_proj|k_proj|v_proj|out_proj|fc1|fc2)$")


def unet_layers(unet: nn.Module, targets: str) -> list[str]:
    """Names of the layers that get factors: "all", "linear", "attention", "temporal", or a pattern found in the name.

    Raises: UserError for a pattern that cannot be read or that no layer has.
    """
    layers = [(name, module) for name, module in unet.named_modules() if isinstance(module, KINDS)]
    chosen = {
        "all": lambda name, module: True,
        "linear": lambda name, module: isinstance(module, nn.Linear),
        "attention": lambda name, module: _ATTENTION.search(name) is not None,
        "temporal": lambda name, module: any(mark in name for mark in TEMPORAL),
    }.get(targets)
    if chosen is None:
        try:
            pattern = re.compile(targets)
        except re.error as error:
            raise UserError(
                f"train.targets={targets}: give all, linear, attention, temporal or a valid pattern ({error})"
            ) from error
        chosen = lambda name, module: pattern.search(name) is not None  # noqa: E731
    names = [name for name, module in layers if chosen(name, module)]
    if not names:
        raise UserError(
            f"train.targets={targets} matches no layer; names look like {layers[0][0]}, {layers[len(layers) // 2][0]}"
        )
    return names


def text_layers(encoder: nn.Module) -> list[str]:
    """The six linear layers of every CLIP encoder layer."""
    return [n for n, m in encoder.named_modules() if isinstance(m, nn.Linear) and _TEXT.search(n)]


def add_factors(module: nn.Module, names: list[str], rank: int, alpha: float, dropout: float, seed: int) -> None:
    """Give the named layers factors A (random) and B (zero), in float32; everything else stays frozen."""
    pattern = "|".join(re.escape(name) for name in names)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=pattern)  # type: ignore[arg-type]
    module.requires_grad_(False)
    with drawing(seed):  # peft draws from the global generator
        inject_adapter_in_model(config, module)
    take_keywords(module)
    for name, weight in module.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.float()


class Factors(nn.Module):
    """The trained factors as a module of their own, so that averages and checkpoints hold nothing else.

    They are the very parameters that the networks compute with. Names are those of the file:
    `unet.LAYER.lora_A.weight`, `text_encoder.text_model.LAYER.lora_B.weight`.
    """

    def __init__(self, unet: nn.Module, text_encoder: nn.Module | None = None) -> None:
        super().__init__()
        found = {f"unet.{name}": weight for name, weight in _of(unet)}
        if text_encoder is not None:
            found |= {f"text_encoder.text_model.{n.removeprefix('text_model.')}": w for n, w in _of(text_encoder)}
        self.weights = nn.ParameterDict({name.replace(".", "/"): weight for name, weight in found.items()})

    def named(self) -> dict[str, Tensor]:
        """The factors by their names in the file."""
        return {name.replace("/", "."): weight for name, weight in self.weights.items()}

    @torch.no_grad()
    def take(self, other: Factors) -> None:
        """Copy the values of other factors of the same layers."""
        for name, weight in self.weights.items():
            weight.copy_(other.weights[name])


def _of(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, weight in module.named_parameters():
        if "lora_" in name:
            yield name.replace(".default.", "."), weight


@contextmanager
def without_factors(*modules: nn.Module) -> Iterator[None]:
    """The networks as they were before; afterwards the factors count again, and can be trained."""
    layers = [m for module in modules for m in module.modules() if isinstance(m, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def write_lora(path: Path, factors: Mapping[str, Tensor], scale: float, facts: dict[str, Any], half: bool) -> None:
    """Write one safetensors file in diffusers' layout; it appears complete or not at all.

    The factor alpha / rank is multiplied into B, so that every reader that takes it as 1 gets the trained change.
    `facts` go into the metadata as JSON, under `motionkit`.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {
        name: (weight.detach().cpu().float() * (scale if ".lora_B." in name else 1)).to(dtype).contiguous().clone()
        for name, weight in factors.items()
    }
    with replacing(path) as part:
        part.write_bytes(save(tensors, {"format": "pt", "motionkit": json.dumps(facts, sort_keys=True)}))
