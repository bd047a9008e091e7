"""The hash of everything that decides what a backbone computes, without loading any weight. No torch."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from motionkit.backbones import folders, motion_files
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.spec import BackboneSpec
from motionkit.backbones.tiny_sizes import ADAPTER, OUTPUT_SCALE
from motionkit.weights.hashing import hash_files, hash_json


def fingerprint(spec: BackboneSpec, path: str | None = None, seed: int = 0, motion: MotionOptions | None = None) -> str:
    """SHA-256 of what decides the backbone's output: configurations and weights, or the seed of a made-up one.

    Hashes of large files are remembered by resolved path, size and modification time.
    Raises: as `folders.locate`.
    """
    if spec.base:
        return _of_motion(spec, path, seed, motion or MotionOptions())
    if spec.made_up and path is None:
        return hash_json({"name": spec.name, "architecture": [_sizes(spec), OUTPUT_SCALE], "seed": seed})
    present, _ = folders.inventory(spec, folders.locate(spec, path))
    return hash_json(hash_files(present))


def _of_motion(spec: BackboneSpec, path: str | None, seed: int, options: MotionOptions) -> str:
    """SHA-256 of the image model, the motion modules and the options."""
    said = {"name": spec.family, "per_frame_norm": options.per_frame(spec), "schedule": options.schedule}
    if spec.made_up:
        sizes = [_sizes(spec), ADAPTER, OUTPUT_SCALE]
        return hash_json(said | {"name": spec.name, "architecture": sizes, "seed": seed})
    present, _ = motion_files.inventory(spec, motion_files.locate(spec, folders.locate(spec, path), options))
    return hash_json(said | {"base": fingerprint(replace(spec, base=None), path), **hash_files(present)})


def _sizes(spec: BackboneSpec) -> Any:
    module, _, function = spec.sizes.partition(":")
    return getattr(importlib.import_module(module), function)(spec.family)
