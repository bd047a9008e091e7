"""The backbones that this method brings: its own network, from the authors' checkpoint, small, and at toy size.

They are registered in the group `motionkit.backbones`, as another package's would be. No torch.
"""

from __future__ import annotations

from typing import Any

from motionkit.backbones import layouts
from motionkit.backbones.spec import CROSS, ROLES, SPATIAL, BackboneSpec
from motionkit.weights.model_files import TEXT

_NET = "motionkit.methods.animatex.net"
_NETWORK: dict[str, Any] = {
    "layout": {**layouts.OLDER, "image_encoder": ("config.json", TEXT)},
    "unet_class": "AnimateXNetwork",
    "shapes": f"{_NET}.shapes",
    "reads_text": False,  # the authors give it the empty prompt only
    "makes_clips": True,
    "roles": ROLES,
}
_MAMBA = _NETWORK | {"roles": (SPATIAL, CROSS)}  # Mamba blocks stand in place of attention along time

TINY_ANIMATEX = BackboneSpec(
    "tiny-animatex",
    "animatex",
    "Animate-X's classes at a very small size with random weights, for tests",
    "none: random, from a seed",
    64,
    16,
    f"{_NET}.tiny:load",
    "Apache-2.0",
    0.001,
    sizes=f"{_NET}.tiny_sizes:architecture",
    **_NETWORK,
    row=14,
)
TINY_ANIMATEX_MAMBA = BackboneSpec(
    "tiny-animatex-mamba",
    "animatex",
    "the same with Mamba in place of attention along time, as in the paper",
    "none: random, from a seed",
    64,
    16,
    f"{_NET}.tiny:load",
    "Apache-2.0",
    0.001,
    sizes=f"{_NET}.tiny_sizes:architecture",
    **_MAMBA,
    row=15,
)
POCKET_ANIMATEX = BackboneSpec(
    "pocket-animatex",
    "animatex",
    "a small Animate-X trained on this project's sprites, 128 px: moves only sprites",
    "shipped with motionkit",
    128,
    16,
    f"{_NET}.backbone:load",
    "Apache-2.0",
    0.05,
    asset="pocket-animatex",
    familiar_db=25.5,
    **_NETWORK,
    row=16,
)
POCKET_ANIMATEX_MAMBA = BackboneSpec(
    "pocket-animatex-mamba",
    "animatex",
    "the same with Mamba in place of attention along time, as in the paper",
    "shipped with motionkit",
    128,
    16,
    f"{_NET}.backbone:load",
    "Apache-2.0",
    0.05,
    asset="pocket-animatex-mamba",
    familiar_db=25.5,
    **_MAMBA,
    row=17,
)
ANIMATEX = BackboneSpec(
    "animatex",
    "animatex",
    "Animate-X, 512x768 px: any character by the skeletons of a video",
    "hub: Shuaishuai0219/Animate-X (animate-x_ckpt.pth, to be converted once)",
    512,
    64,
    f"{_NET}.backbone:load",
    "see the authors' model card; parts: OpenRAIL++-M (SD 2.1)",
    7.9,
    hub_id="Shuaishuai0219/Animate-X",
    converter=f"{_NET}.convert:run",
    portrait=True,
    quick_decoder="madebyollin/taesd",
    **_NETWORK,
    row=18,
)
