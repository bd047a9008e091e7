"""Says when a picture is unlike all that a small backbone was trained on, by what its autoencoder loses of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def kept_db(backbone: Any, picture: np.ndarray) -> float:
    """PSNR in dB of a picture (H, W, 3) uint8 after the backbone's autoencoder; sides are multiples of its factor."""
    import torch

    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    lost = (backbone.decode(backbone.encode(pixels)) - pixels).square().mean().item()
    return -10 * math.log10(max(lost, 1e-10))


def unfamiliar(backbone: Any, picture: np.ndarray | None) -> str:
    """One line for a picture (H, W, 3) uint8 that the backbone cannot draw, or "".

    A backbone that says nothing of its world (`BackboneSpec.familiar_db`) is not asked; it is loaded otherwise.
    """
    least = backbone.spec.familiar_db
    if least is None or picture is None or (db := kept_db(backbone, picture)) >= least:
        return ""
    name = backbone.spec.name
    return (
        f"this picture is unlike the sprites that the small weights of {name} know (they keep it at {db:.0f} dB, a "
        f"sprite at {least:g} and more), so the result may be poor: use real weights (`motionkit backbones` says how)"
    )
