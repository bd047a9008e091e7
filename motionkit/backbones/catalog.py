"""The list of backbones: facts that can be read without loading torch or any weight."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from motionkit.backbones.spec import BackboneConfig as BackboneConfig
from motionkit.backbones.spec import BackboneSpec as BackboneSpec
from motionkit.registry import BACKBONES


def specs() -> Mapping[str, BackboneSpec]:
    """Every backbone by name, in the order of the list. Raises: as `registry.Group.every`."""
    ordered = sorted(BACKBONES.every(), key=lambda spec: (spec.row, spec.name))
    return MappingProxyType({spec.name: spec for spec in ordered})


def get(name: str) -> BackboneSpec:
    """The backbone of that name. Raises: UserError with the nearest name and the whole list, or its plugin's error."""
    return BACKBONES.get(name)


def families() -> dict[str, tuple[str, ...]]:
    """Family -> the names of its backbones, both in the order of the list."""
    known = specs().values()
    return {f: tuple(s.name for s in known if s.family == f) for f in dict.fromkeys(s.family for s in known)}
