"""What methods stand on: image and video diffusion models behind one small interface. Importing this loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from motionkit.backbones.catalog import BackboneConfig, BackboneSpec, get, specs
from motionkit.backbones.fingerprints import fingerprint as _fingerprint

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.backbones.part_files import PartOptions
    from motionkit.settings.gpu import Plan

__all__ = ["BackboneConfig", "BackboneSpec", "fingerprint", "get", "load", "specs"]


def load(
    name: str | BackboneSpec,
    plan: Plan,
    path: str | None = None,
    seed: int = 0,
    online: bool = False,
    motion: MotionOptions | None = None,
    lora: Loras | None = None,
    parts: PartOptions | None = None,
) -> VideoBackbone:
    """Load a backbone's weights and put the plan into effect on it; `backbone.plan` is what took effect.

    `path`: a folder in the hub's layout, or a hub id, in place of the one that the spec names. `seed`: of the weights
    of tiny-*. `online`: missing files may be downloaded (also: MOTIONKIT_ONLINE=1). `motion`: for AnimateDiff only.
    `lora`: one or several (`LoraStack`), merged into the weights, and part of the fingerprint.
    `parts`: an autoencoder and taught words from other files, part of the fingerprint too.
    Raises: MissingWeights and UserError, each one line.
    """
    spec = get(name) if isinstance(name, str) else name
    module, _, function = spec.loader.partition(":")
    if motion:
        motion.check(spec)
    more = {"motion": motion} if spec.base else {}
    loader = getattr(importlib.import_module(module), function)
    changes = _read_loras(lora) if lora else []  # a bad file is refused before any weight loads
    if parts:
        parts.check()
    backbone = loader(spec, plan, path=path, seed=seed, online=online, **more)
    if parts:
        backbone.change_parts(parts)
    if lora:
        backbone.add_lora(changes, lora)
    return backbone


def _read_loras(lora: Loras) -> list[Any]:
    from motionkit.backbones.lora import read_lora

    lora.check()
    return [read_lora(one.path) for one in lora.each]


def fingerprint(
    name: str | BackboneSpec,
    path: str | None = None,
    seed: int = 0,
    motion: MotionOptions | None = None,
    lora: Loras | None = None,
    parts: PartOptions | None = None,
) -> str:
    """What `load(...).fingerprint()` would say, without loading any weight (and without torch)."""
    plain = _fingerprint(get(name) if isinstance(name, str) else name, path, seed, motion)
    plain = parts.fingerprint(plain) if parts else plain
    return lora.fingerprint(plain) if lora else plain
