"""The sizes of the tiny Animate-X backbones, which decide what they compute together with a seed. No torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from motionkit.backbones import tiny_sizes
from motionkit.methods.animatex.net.config import TINY

IMAGE_ENCODER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
    "projection_dim": TINY.feature_dim,
}
CONFIGS = {"tiny-animatex": TINY, "tiny-animatex-mamba": replace(TINY, temporal="mamba", mamba={"d_state": 4})}


def architecture(family: str) -> dict[str, dict[str, Any]]:
    """The sizes of every part of the toy."""
    return tiny_sizes.architecture(family) | {"unet": TINY.as_dict(), "image_encoder": IMAGE_ENCODER}
