"""What methods stand on: image and video diffusion models behind one small interface. Importing this loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from motionkit.backbones.catalog import BackboneConfig, BackboneSpec, get, specs
from motionkit.backbones.fingerprints import fingerprint as _fingerprint

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.motion_files import MotionOptions
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
) -> VideoBackbone:
    """Load a backbone's weights and put the plan into effect on it; `backbone.plan` is what took effect.

    `path`: a folder in the hub's layout, or a hub id, in place of the one that the spec names. `seed`: of the weights
    of tiny-*. `online`: missing files may be downloaded (also: MOTIONKIT_ONLINE=1). `motion`: for AnimateDiff only.
    `lora`: one or several (`LoraStack`), merged into the weights, and part of the fingerprint.
    Raises: MissingWeights and UserError, each one line.
    """
    spec = get(name) if isinstance(name, str) else name
    module, _, function = spec.loader.partition(":")
    if motion:
        motion.check(spec)
    more = {"motion": motion} if spec.base else {}
    loader = getattr(importlib.import_module(module), function)
    if lora is None:
        return loader(spec, plan, path=path, seed=seed, online=online, **more)
    from motionkit.backbones.lora import read_lora

    lora.check()
    changes = [read_lora(one.path) for one in lora.each]  # a bad file is refused before any weight loads
    backbone = loader(spec, plan, path=path, seed=seed, online=online, **more)
    backbone.add_lora(changes, lora)
    return backbone


def fingerprint(
    name: str | BackboneSpec,
    path: str | None = None,
    seed: int = 0,
    motion: MotionOptions | None = None,
    lora: Loras | None = None,
) -> str:
    """What `load(...).fingerprint()` would say, without loading any weight (and without torch)."""
    plain = _fingerprint(get(name) if isinstance(name, str) else name, path, seed, motion)
    return lora.fingerprint(plain) if lora else plain
