"""Merges low-rank changes into a model's weights, W + scale * up @ down, from every common layout of LoRA files.

Hu et al., LoRA, arXiv 2106.09685. Read: peft's and diffusers' safetensors (old and new names), the community's
`lora_unet_...` names (kohya-ss/sd-scripts: diffusers' for SD 1.x, the authors' `input_blocks` for SD XL), LyCORIS's
LoHa and LoKr, AnimateDiff's motion and domain LoRAs, and the nameless lists that FlipSketch's trainer writes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from motionkit.backbones.lora_files import ADAPTER, PEFT, lora_files
from motionkit.backbones.lora_kinds import REFUSED, Change
from motionkit.backbones.lora_lists import from_list, layers_of
from motionkit.errors import UserError
from motionkit.weights.model_files import read_json
from motionkit.weights.published_names import motion_name, unet_names
from motionkit.weights.reading import all_finite

_log = logging.getLogger(__name__)
PARTS = ("unet", "text_encoder", "text_encoder_2")
_FACTOR = re.compile(
    r"(?P<layer>.+?)(?:\.processor)?[._](?:(?P<old>to_q|to_k|to_v|to_out)_)?"
    r"(?:lora_(?P<ab>[AB])(?:\.[^.]+)?|lora(?:_linear_layer)?[._](?P<du>down|up))\.weight"
)
_ALPHA = re.compile(r"(?P<layer>.+?)(?:\.lora|\.lora_linear_layer)?\.alpha")
_MORE = re.compile(
    r"(?P<layer>.+)\.(?P<name>hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t[12])|lora_mid)(?:\.weight)?"
)
_NUMBER = re.compile(r"\d+(\.\d+)?")
_WRAPPED = "base_model.model."  # how peft begins its names
_COMMUNITY = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "diffusion_model.": "unet",
}


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
    return merge_all([(lora, scale)], models)


def merge_all(counted: Sequence[tuple[Lora, float]], models: Mapping[str, Any]) -> list[str]:
    """As `merge`, for several LoRAs with their scales: a weight is rounded once, when all of them are added up."""
    names: dict[int, str] = {}
    sums: dict[int, tuple[nn.Module, list[tuple[Change, float]]]] = {}
    for lora, scale in counted:
        for name, module, change in _found(lora, models):
            names.setdefault(id(module), name)
            sums.setdefault(id(module), (module, []))[1].append((change, scale))
    for module, changes in sums.values():
        _add(module, changes)
    return list(names.values())


def _found(lora: Lora, models: Mapping[str, Any]) -> list[tuple[str, nn.Module, Change]]:
    """Every layer that a LoRA changes. Raises: as `merge_lora`."""
    found: list[tuple[str, nn.Module, Change]] = []
    for part in PARTS:
        changes, file = lora.changes.get(part, {}), lora.file
        if part in lora.lists:
            file, tensors = lora.lists[part]
            pairs = from_list(file, tensors, part, models.get(part))
            changes = {name: Change(up, down) for name, up, down in pairs}
        if changes:
            found += _matched(file, part, changes, models.get(part))
    return found


@torch.no_grad()
def _add(module: nn.Module, changes: Sequence[tuple[Change, float]]) -> None:
    weight: Any = module.weight
    total = weight.float()
    for change, scale in changes:
        total = total + scale * change.factor() * change.matrix(weight.device).reshape(weight.shape)  # (O, I, k...)
    weight.copy_(total.to(weight.dtype))


def _matched(file: Path, part: str, changes: Mapping[str, Change], model: Any) -> list[tuple[str, nn.Module, Change]]:
    """The layers that the changes are for. Raises: UserError unless every one of them fits."""
    if model is None:
        raise UserError(
            f"{file} also changes the {part.replace('_', ' ')} ({len(changes)} layers), which this model does not have"
        )
    layers = dict(layers_of(model))
    known = _by_every_name(layers)
    names = {id(module): name for name, module in layers.items()}
    found, lost = [], []
    for key, change in changes.items():
        module = known.get(key, known.get(re.sub(r"^text_model[._]", "", key)))
        if module is None:
            lost.append(key)
            continue
        weight: Any = module.weight
        if why := change.why_not(weight):
            raise UserError(f"{file} is a LoRA of another model: {part}.{key} {why}")
        found.append((f"{part}.{names[id(module)]}", module, change))
    if lost:
        raise UserError(
            f"{file} is a LoRA of another model: this {part.replace('_', ' ')} lacks {len(lost)} of its "
            f"{len(changes)} layers, e.g. {lost[0]}"
        )
    return found


def _by_every_name(layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The layers under each name that files give them: diffusers', the authors', and both with _ for each dot."""
    published = {other: layers[name] for name, other in unet_names(layers).items()}
    motion = {motion_name(name): module for name, module in layers.items()}
    dotted = {**published, **motion, **layers}
    return {name.replace(".", "_"): module for name, module in dotted.items()} | dotted


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
        if file.stem == PEFT or any(key.startswith(_WRAPPED) for key in content):
            _tell_no_alpha(file, lora)
    return lora


def _tell_no_alpha(file: Path, lora: Lora) -> None:
    """Warn where peft's file, which keeps alpha outside of its tensors, came without it."""
    changes = [change for part in lora.changes.values() for change in part.values()]
    if ranks := sorted({change.rank for change in changes if change.alpha is None and change.rank}):
        _log.warning(
            "%s: neither it nor %s beside it says its alpha; alpha = rank (%s) is taken: where it was trained with "
            "another, give backbone.lora_scale=alpha/rank",
            file,
            ADAPTER,
            ", ".join(map(str, ranks)),
        )


def _load(file: Path) -> tuple[dict[str, Tensor] | list[Tensor], dict[str, Any]]:
    """Tensors by name or in a list, and what the file says about them."""
    metadata: dict[str, Any] = {}
    content: Any
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as source:
                content = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118 (not a dict)
                metadata = _said(source.metadata() or {})
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file} is damaged or cut short ({(str(error).splitlines() or ['?'])[0][:200]})") from error
    except Exception as error:  # torch names a refused pickle and a broken archive in many ways
        raise UserError(f"{file} is not a file of plain tensors; for safety, nothing else is loaded") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):  # as AnimateDiff's .ckpt files
        content = content["state_dict"]
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key != "animatediff_config"}
    values = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(values, list | tuple) or not values or not all(isinstance(v, Tensor) for v in values):
        raise UserError(f"{file} is not a LoRA: it holds no tensors, neither by name nor in a list")
    if not all(all_finite(value) for value in values):
        raise UserError(f"{file} holds NaN or infinity: the file is damaged or its training broke")
    return (content if isinstance(content, dict) else list(values)), metadata if isinstance(metadata, dict) else {}


def _said(header: Mapping[str, str]) -> dict[str, Any]:
    """peft's settings from a file's header: all of them where diffusers wrote it, else an alpha by itself."""
    numbers = (header[key] for key in ("lora_alpha", "alpha") if _NUMBER.fullmatch(header.get(key, "")))
    alone = next(({"lora_alpha": number} for number in numbers), {})
    whole = json.loads(header.get("lora_adapter_metadata", "{}"))
    return whole if isinstance(whole, dict) and whole else alone


def _named(file: Path, tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> dict[str, dict[str, Change]]:
    """Changes by part and layer from named tensors; `said` are peft's settings, with a part's prefix or without."""
    parts: dict[str, dict[str, Change]] = {}
    for key, value in tensors.items():
        if kind := next((kind for mark, kind in REFUSED.items() if mark in f"{key}|"), None):
            raise UserError(f"{file} is a {kind} adapter, which cannot be merged as a LoRA: {key}")
        if more := _MORE.fullmatch(key):
            part, layer = _place(more["layer"])
            parts.setdefault(part, {}).setdefault(layer, Change()).more[more["name"]] = value
            continue
        factor, alpha = _FACTOR.fullmatch(key), _ALPHA.fullmatch(key)
        if not factor and not alpha:
            raise UserError(f"{file} is not a LoRA: it holds {key}")
        if alpha and value.numel() != 1:
            raise UserError(f"{file} is not a LoRA: {key} is not a single number")
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
        except (AttributeError, TypeError, ValueError, re.error) as error:
            raise UserError(f"{file}: its settings (lora_alpha, alpha_pattern) are not what peft writes") from error
    return parts


def _place(layer: str) -> tuple[str, str]:
    """The part that a layer belongs to, and its name there."""
    layer = layer.removeprefix("module.").removeprefix(_WRAPPED)
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
    """Whether peft's pattern, a regular expression of a layer's name or its end, is for that layer."""
    return re.match(rf"(.*\.)?({pattern})$", layer) is not None
