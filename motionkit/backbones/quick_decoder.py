"""A small decoder of latents, for looks at a clip while it is denoised: TAESD, where its file is.

TAESD and TAESDXL: github.com/madebyollin/taesd, MIT; on the hub as diffusers' AutoencoderTiny, 10 MB. Nothing is
downloaded for a look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from motionkit.errors import MissingWeights, UserError
from motionkit.weights.finding import Wanted, find
from motionkit.weights.model_files import MODEL
from motionkit.weights.reading import load_model, read_config

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

_log = logging.getLogger(__name__)
Decoder = Callable[[Tensor], Tensor]


def quick_decoder(backbone: VideoBackbone) -> Decoder | None:
    """The decoder of a backbone's latents, on its device; None without one, and on a CPU, where looks take too long."""
    place = backbone.spec.quick_decoder
    if place is None or backbone.device.type == "cpu":
        return None
    return read(place, backbone.device, backbone.dtype)


def read(hub_id: str, device: torch.device, dtype: torch.dtype) -> Decoder | None:
    """A decoder: latents (N, 4, h, w) as the UNet has them to pictures (N, 3, 8 h, 8 w) in [0, 1], float32.

    Returns:
        None where the hub's cache has no such file; a damaged one is told and not used.
    """
    from diffusers import AutoencoderTiny

    wanted = Wanted(hub_id, files=("config.json", f"{MODEL}.safetensors"), hub_id=hub_id)
    try:
        folder = find(wanted, online=False)
        config = read_config(folder / "config.json", "AutoencoderTiny")
        model: Any = load_model(lambda: AutoencoderTiny.from_config(config), [folder], MODEL, dtype).to(device)
    except MissingWeights:
        return None
    except UserError as error:
        _log.warning("pictures of the clip while it is made are coarse: %s", error)
        return None

    @torch.no_grad()
    def decode(latents: Tensor) -> Tensor:
        return (model.decode(latents.to(device, dtype)).sample.float() / 2 + 0.5).clamp(0, 1)

    return decode
