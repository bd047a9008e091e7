"""Animate-X: a conditional 3D UNet that moves any character by the skeletons and features of a driving video.

Paper: Tan et al., Animate-X: Universal Character Image Animation with Enhanced Motion Representation, arXiv 2410.10306.
Authors' code: github.com/antgroup/animate-x (Apache-2.0, inference only). Weights: those of the authors have a licence
of their own (see their model card); their autoencoder and text encoder are Stable Diffusion 2.1's (OpenRAIL++-M).

Importing this imports no torch; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motionkit.methods.animatex.net.conditions import Conditions as Conditions
    from motionkit.methods.animatex.net.conditions import Keep as Keep
    from motionkit.methods.animatex.net.conditions import Prepared as Prepared
    from motionkit.methods.animatex.net.conditions import draw_keep as draw_keep
    from motionkit.methods.animatex.net.conditions import join as join
    from motionkit.methods.animatex.net.config import AnimateXConfig as AnimateXConfig
    from motionkit.methods.animatex.net.config import IndicatorConfig as IndicatorConfig
    from motionkit.methods.animatex.net.network import AnimateXNetwork as AnimateXNetwork

_PUBLIC = {
    **{name: "conditions" for name in ("Conditions", "Keep", "Prepared", "draw_keep", "join")},
    **{name: "config" for name in ("AnimateXConfig", "IndicatorConfig")},
    "AnimateXNetwork": "network",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
