"""Which weights of the UNet are tuned, by exact name (VIDMP3 section 3.2: W_Q and W_V; more of them on SDXL).

Spatial and cross-attention: the query projections. Temporal attention: the value projections on SD 1.5 (72 tensors,
62.7 M values; 74 tensors with a motion module in the mid block); queries, keys, values and out-projections on SDXL (290
tensors, 290.8 M), and in an inflated image model, whose new out-projections begin at zero. Feed-forward layers and
norms of the motion modules, where shapes would leak, stay frozen.
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from motionkit.backbones.base import attention_sites
from motionkit.errors import UserError

from .options import TuneOptions
from .unets import inflated_blocks

_LORA = re.compile(r"\.lora_[AB]\.")


def is_sdxl(unet: Any) -> bool:
    """Whether a UNet takes SDXL's second text embedding and size conditions."""
    return getattr(unet.config, "addition_embed_type", None) == "text_time"


def trainable_names(unet: Any, options: TuneOptions | None = None) -> list[str]:
    """The parameters that are tuned, in the UNet's order; of a UNet without LoRA.

    Args:
        unet: a UNetMotionModel, UNet3DConditionModel or inflated UNet; it may be on the meta device.

    Raises:
        UserError: a UNet without temporal attention.
    """
    options, new = options or TuneOptions(), bool(inflated_blocks(unet))
    temporal = options.temporal
    if temporal == "auto":
        temporal = "projections" if new or is_sdxl(unet) else "values"
    layers = {f"{s.name}.to_q" for role in ("spatial_self", "cross") for s in attention_sites(unet, role)}
    sites = attention_sites(unet, "temporal_self")
    if not sites:
        raise UserError("this UNet has no temporal attention: vidmp3 needs a video model")
    parts = ("to_v",) if temporal == "values" else ("to_q", "to_k", "to_v", "to_out.0")
    layers |= {f"{site.name}.{part}" for site in sites for part in parts}
    if options.ends:
        modules = {site.name.split(".transformer_blocks.")[0] for site in sites}
        layers |= {f"{module}.{part}" for module in modules for part in ("proj_in", "proj_out")}
    return [name for name, _ in unet.named_parameters() if name.rsplit(".", 1)[0] in layers]


def make_trainable(unet: Any, options: TuneOptions | None = None, seed: int = 0) -> dict[str, nn.Parameter]:
    """Freeze everything but the tuned weights, which become float32; with a rank, LoRA pairs take their place.

    A UNet in half precision has to be called under autocast afterwards.

    Args:
        seed: of the LoRA's first weights, drawn apart from the global generator; its B is zero, so nothing changes yet.

    Returns:
        Name -> parameter of what is tuned: the weights of `trainable_names`, or the LoRA's A and B.
    """
    options = options or TuneOptions()
    names = trainable_names(unet, options)
    unet.requires_grad_(False)
    if options.rank:
        from motionkit.backbones.adapters import add_lora

        add_lora(unet, [name.removesuffix(".weight") for name in names if name.endswith(".weight")], options.rank, seed)
        names = [name for name, _ in unet.named_parameters() if _LORA.search(name)]
    chosen = set(names)
    found = {name: weight for name, weight in unet.named_parameters() if name in chosen}
    for weight in found.values():
        weight.data = weight.data.float()
        weight.requires_grad_(True)
    return found


def deltas(before: dict[str, Tensor], after: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """What tuning changed: after - before for plain weights; LoRA pairs as they are, `<layer>.lora_A` and `.lora_B`.

    Args:
        before: the base's values of the tuned weights, by name (not needed for a LoRA).
        after: of `make_trainable`, after tuning.

    Returns:
        float32 tensors on the CPU, as `pack.Pack.deltas` takes them.
    """
    changed = {}
    for name, weight in after.items():
        value = weight.detach().float().cpu()
        if _LORA.search(name):
            changed[re.sub(r"\.(lora_[AB])\..*", r".\1", name)] = value
        else:
            changed[name] = value - before[name].detach().float().cpu()
    return changed
