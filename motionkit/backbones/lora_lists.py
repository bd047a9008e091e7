"""LoRAs stored as a bare list of matrices: the layers they are for follow from their order alone.

FlipSketch's trainer (github.com/ExponentialML/Text-To-Video-Finetuning) writes [up0, down0, up1, down1, ...] for every
Linear, Conv2d and Conv3d of the UNet as `named_modules` lists them, and for the six linear layers of each text layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from motionkit.errors import UserError

LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d)
_TEXT_LAYERS = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
Targets = list[tuple[str, nn.Module]]


def layers_of(model: nn.Module) -> Targets:
    """Every layer that a LoRA can change, in the order of `named_modules` (574 in ModelScope's UNet)."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, LAYERS)]


def misfit(up: Tensor | None, down: Tensor | None, weight: Tensor) -> str:
    """Why up (O, r, 1...) and down (r, I, k...) cannot change that weight, in a few words; "" when they can."""
    if up is None or down is None:
        return f"has no {'up' if up is None else 'down'} factor"
    if up.dim() < 2 or down.dim() < 2 or not down.numel():
        return f"has factors of shapes {list(up.shape)} and {list(down.shape)}"
    made, rank = [up.shape[0], *down.shape[1:]], down.shape[0]
    if up[0].numel() != rank:
        return f"has factors of ranks {up[0].numel()} and {rank}"
    wanted = list(weight.shape)
    return "" if _bare(made) == _bare(wanted) else f"is for weights of shape {made}, here they are {wanted}"


def _bare(shape: list[int]) -> list[int]:
    return shape[:2] if shape[2:] == [1, 1] else shape


def from_list(file: Path, tensors: list[Tensor], part: str, model: Any) -> list[tuple[str, Tensor, Tensor]]:
    """Layer, up and down for each pair of the list. Raises: UserError unless the count and every shape are the model's.

    diffusers before 0.17 had the feed-forward of a transformer block before its second attention; shapes tell which of
    the two orders a file follows.
    """
    if model is None:
        raise UserError(f"{file} changes the {part.replace('_', ' ')}, which this model does not have")
    orders = [_text_targets(model)] if part != "unet" else [_unet_targets(model, old) for old in (False, True)]
    count = len(orders[0])
    if len(tensors) != 2 * count:
        raise UserError(
            f"{file} is a LoRA of another model: it holds {len(tensors)} tensors, this "
            f"{part.replace('_', ' ')} needs two for each of its {count} layers"
        )
    pairs = list(zip(tensors[::2], tensors[1::2], strict=True))
    wrong = [_first_misfit(targets, pairs) for targets in orders]
    if all(wrong):
        raise UserError(f"{file} is a LoRA of another model: {part}.{wrong[0]}")
    targets = orders[wrong.index("")]
    return [(name, up, down) for (name, _), (up, down) in zip(targets, pairs, strict=True)]


def _first_misfit(targets: Targets, pairs: list[tuple[Tensor, Tensor]]) -> str:
    for index, ((name, module), (up, down)) in enumerate(zip(targets, pairs, strict=True)):
        weight: Any = module.weight
        if why := misfit(up, down, weight):
            return f"{name} (pair {index}) {why}"
    return ""


def _unet_targets(unet: nn.Module, old: bool) -> Targets:
    """The UNet's layers in the order of the list; `old`: of diffusers before 0.17."""
    found = layers_of(unet)
    if not old:
        return found
    order = {name: (index, 0) for index, (name, _) in enumerate(found)}
    ends = {name.split(".attn1.")[0]: index for index, (name, _) in enumerate(found) if ".attn1." in name}
    for index, (name, _) in enumerate(found):
        block, ff, _ = name.partition(".ff.")
        if ff and block in ends:
            order[name] = (ends[block], 1 + index)
    return sorted(found, key=lambda target: order[target[0]])


def _text_targets(encoder: nn.Module) -> Targets:
    """By name, not by this library's order: four of the six have one shape, which could not tell a change of order."""
    layers = [name.removesuffix("self_attn") for name, _ in encoder.named_modules() if name.endswith(".self_attn")]
    return [(layer + end, encoder.get_submodule(layer + end)) for layer in layers for end in _TEXT_LAYERS]
