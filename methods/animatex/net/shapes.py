"""The network without weights, for counts of what it needs (`motionkit.backbones.pretend`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .backbone import AnimateXBackbone
from .config import from_dict
from .network import AnimateXNetwork
from .tiny_sizes import CONFIGS

if TYPE_CHECKING:
    from motionkit.backbones.spec import BackboneSpec
    from motionkit.settings.gpu import Plan


def network(config: Mapping[str, Any]) -> AnimateXNetwork:
    """The network of a configuration."""
    return AnimateXNetwork(from_dict(config))


def assemble(spec: BackboneSpec, plan: Plan, parts: dict[str, Any]) -> AnimateXBackbone:
    """The backbone of its parts, of which `unet` is the whole network."""
    return AnimateXBackbone(spec, plan, network=parts.pop("unet"), **parts)


def toy(name: str) -> dict[str, Any]:
    """The network's configuration of a toy backbone."""
    return CONFIGS[name].as_dict()
