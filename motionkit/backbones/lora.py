"""Low-rank changes merged into a model's weights: W + scale * up @ down, from every layout in which they are passed on.

Hu et al., LoRA, arXiv 2106.09685. Read: peft's and diffusers' safetensors (old and new names), the community's
`lora_unet_...` names, and the nameless lists of up and down matrices that FlipSketch's trainer writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from motionkit.backbones.lora_files import ADAPTER, lora_files
from motionkit.backbones.lora_lists import from_list, layers_of, misfit
from motionkit.errors import UserError
from motionkit.weights.model_files import read_json

PARTS = ("unet", "text_encoder", "text_encoder_2")
_FACTOR = re.compile(
    r"(?P<layer>.+?)(?:\.processor)?[._](?:(?P<old>to_q|to_k|to_v|to_out)_)?"
    r"(?:lora_(?P<ab>[AB])(?:\.[^.]+)?|lora(?:_linear_layer)?[._](?P<du>down|up))\.weight"
)
_ALPHA = re.compile(r"(?P<layer>.+?)(?:\.lora|\.lora_linear_layer)?\.alpha")
_OTHERS = {"lora_magnitude": "DoRA", "dora_scale": "DoRA", "hada_": "LoHa", "lokr_": "LoKr", "lora_mid": "Tucker LoCon"}
_COMMUNITY = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
}


@dataclass
class Change:
    """One layer's factors: up (O, r, 1...) and down (r, I, k...), and alpha (the change counts alpha / r times)."""

    up: Tensor | None = None
    down: Tensor | None = None
    alpha: float | None = None
    root: bool = False  # alpha / sqrt(r) in place of alpha / r (rank-stabilised LoRA, arXiv 2312.03732)

    def factor(self) -> float:
        """How many times up @ down counts."""
        assert self.down is not None
        rank = self.down.shape[0]
        return 1.0 if self.alpha is None else self.alpha / (rank**0.5 if self.root else rank)


@dataclass
class Lora:
    """What was read: changes by part and layer; lists without names wait for the model that they are for."""

    file: Path
    changes: dict[str, dict[str, Change]] = field(default_factory=dict)
    lists: dict[str, tuple[Path, list[Tensor]]] = field(default_factory=dict)


def merge_lora(
    path: str | Path, unet: Any, text_encoder: Any = None, scale: float = 1.0, text_encoder_2: Any = None
) -> list[str]:
    """Add a LoRA to the weights of the given models, in place; returns the changed layers, as "unet.NAME".

    Sums are float32 whatever the weights' type. Everything is checked before the first weight changes.

    Args:
        path: a file or a folder, see `lora_files.lora_files`.
        scale: 1 is the LoRA as trained, 0 nothing, -1 takes away a LoRA that was merged.

    Raises:
        UserError: a damaged file, another kind of adapter, a LoRA of another model (names, count or shapes differ),
            or one that changes a part which this model lacks.
    """
    return merge(read_lora(path), {"unet": unet, "text_encoder": text_encoder, "text_encoder_2": text_encoder_2}, scale)


def merge(lora: Lora, models: Mapping[str, Any], scale: float = 1.0) -> list[str]:
    """As `merge_lora`, for a LoRA that was read before; `models` by the names in PARTS, None where there is none."""
    found: list[tuple[str, nn.Module, Change]] = []
    for part in PARTS:
        changes, file = lora.changes.get(part, {}), lora.file
        if part in lora.lists:
            file, tensors = lora.lists[part]
            pairs = from_list(file, tensors, part, models.get(part))
            changes = {name: Change(up, down) for name, up, down in pairs}
        if changes:
            found += _matched(file, part, changes, models.get(part))
    for _, module, change in found:
        _add(module, change, scale)
    return [name for name, _, _ in found]


@torch.no_grad()
def _add(module: nn.Module, change: Change, scale: float) -> None:
    weight: Any = module.weight
    assert change.up is not None and change.down is not None
    up, down = (x.to(weight.device, torch.float32).flatten(1) for x in (change.up, change.down))  # (O, r), (r, I k...)
    weight.copy_((weight.float() + scale * change.factor() * (up @ down).reshape(weight.shape)).to(weight.dtype))


def _matched(file: Path, part: str, changes: Mapping[str, Change], model: Any) -> list[tuple[str, nn.Module, Change]]:
    """The layers that the changes are for. Raises: UserError unless every one of them fits."""
    if model is None:
        raise UserError(
            f"{file} changes the {part.replace('_', ' ')} too ({len(changes)} layers), which is not part of this model"
        )
    layers = dict(layers_of(model))
    known = layers | {name.replace(".", "_"): module for name, module in layers.items()}
    names = {id(module): name for name, module in layers.items()}
    found, lost = [], []
    for key, change in changes.items():
        module = known.get(key, known.get(re.sub(r"^text_model[._]", "", key)))
        if module is None:
            lost.append(key)
            continue
        weight: Any = module.weight
        if why := misfit(change.up, change.down, weight):
            raise UserError(f"{file} is a LoRA of another model: {part}.{key} {why}")
        found.append((f"{part}.{names[id(module)]}", module, change))
    if lost:
        raise UserError(
            f"{file} is a LoRA of another model: this {part.replace('_', ' ')} lacks {len(lost)} of its "
            f"{len(changes)} layers, e.g. {lost[0]}"
        )
    return found


def read_lora(path: str | Path) -> Lora:
    """Everything that a LoRA's files hold, in memory, checked as far as that goes without the model.

    Raises: UserError in one line for files that are damaged, hold no LoRA or another kind of adapter.
    """
    files = lora_files(path)
    lora = Lora(files[0])
    for file in files:
        if file.name == ADAPTER:
            continue
        content, metadata = _load(file)
        if isinstance(content, list):
            part = "text_encoder" if "text_encoder" in file.name else "unet"
            lora.lists[part] = (file, content)
            continue
        adapter = next((read_json(f) for f in files if f.name == ADAPTER), {})
        for part, changes in _named(file, content, metadata or adapter).items():
            lora.changes.setdefault(part, {}).update(changes)
    return lora


def _load(file: Path) -> tuple[dict[str, Tensor] | list[Tensor], dict[str, Any]]:
    """Tensors by name or in a list, and what the file says about them."""
    metadata: dict[str, Any] = {}
    content: Any
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as source:
                content = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118 (not a dict)
                metadata = json.loads((source.metadata() or {}).get("lora_adapter_metadata", "{}"))
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged or cut short ({(str(error).splitlines() or ['?'])[0][:200]})") from error
    except Exception as error:  # torch names a refused pickle and a broken archive in many ways
        raise UserError(f"{file} is not a file of plain tensors, and nothing else is read from it") from error
    values = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(values, list | tuple) or not values or not all(isinstance(v, Tensor) for v in values):
        raise UserError(f"{file} holds no tensors, neither by name nor in a list: it is no LoRA")
    if not all(torch.isfinite(value).all() for value in values):
        raise UserError(f"{file} holds NaN or infinity: the file is damaged or its training broke")
    return (content if isinstance(content, dict) else list(values)), metadata if isinstance(metadata, dict) else {}


def _named(file: Path, tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> dict[str, dict[str, Change]]:
    """Changes by part and layer from named tensors; `said` are peft's settings, with a part's prefix or without."""
    parts: dict[str, dict[str, Change]] = {}
    for key, value in tensors.items():
        if kind := next((kind for mark, kind in _OTHERS.items() if mark in key), None):
            raise UserError(f"{file} is a {kind} adapter, which cannot be merged as a LoRA: {key}")
        factor, alpha = _FACTOR.fullmatch(key), _ALPHA.fullmatch(key)
        if not factor and not alpha:
            raise UserError(f"{file} is no LoRA: it holds {key}")
        if alpha and value.numel() != 1:
            raise UserError(f"{file} is no LoRA: {key} is not one number")
        part, layer = _place(factor["layer"] if factor else alpha["layer"] if alpha else "")
        if factor and factor["old"]:
            layer += "." + ("to_out.0" if factor["old"] == "to_out" else factor["old"])
        change = parts.setdefault(part, {}).setdefault(layer, Change())
        if factor is None:
            change.alpha = float(value)
        elif "A" == factor["ab"] or "down" == factor["du"]:
            change.down = value
        else:
            change.up = value
    for part, changes in parts.items():
        try:
            _apply_settings(file, part, changes, said)
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(f"{file}: its settings (lora_alpha, alpha_pattern) are not what peft writes") from error
    return parts


def _place(layer: str) -> tuple[str, str]:
    """The part that a layer belongs to, and its name there."""
    layer = layer.removeprefix("base_model.model.")
    for prefix, part in (*_COMMUNITY.items(), *((f"{part}.", part) for part in reversed(PARTS))):
        if layer.startswith(prefix):
            return part, layer.removeprefix(prefix)
    return "unet", layer


def _apply_settings(file: Path, part: str, changes: Mapping[str, Change], said: Mapping[str, Any]) -> None:
    """Alphas from peft's settings, for layers whose alpha is not among the tensors."""
    settings = {key.removeprefix(f"{part}."): value for key, value in said.items()}
    if settings.get("use_dora"):
        raise UserError(f"{file} is a DoRA adapter, which cannot be merged as a LoRA")
    patterns = settings.get("alpha_pattern") or {}
    for layer, change in changes.items():
        own = next((alpha for name, alpha in patterns.items() if _named_by(layer, name)), settings.get("lora_alpha"))
        if change.alpha is None and own is not None:
            change.alpha, change.root = float(own), bool(settings.get("use_rslora"))


def _named_by(layer: str, pattern: str) -> bool:
    """Whether peft's pattern, a layer's name or its end, is for that layer."""
    pattern = pattern.removeprefix("^")
    return layer == pattern or layer.endswith(f".{pattern}")
