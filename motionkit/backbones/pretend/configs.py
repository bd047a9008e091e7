"""The configuration of every part of every catalogued backbone, readable without any of its weights; no torch."""

from __future__ import annotations

import importlib
import json
from typing import Any

from motionkit.backbones import catalog, folders
from motionkit.backbones.catalog import BackboneSpec
from motionkit.errors import UserError
from motionkit.weights import places
from motionkit.weights.model_files import read_json

Configs = dict[str, dict[str, Any]]
SHIPPED = "configs"  # facts of the published configurations, one file a backbone
_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "image_encoder")


def configs_of(spec: BackboneSpec) -> Configs:
    """Part -> its configuration, by the names of the hub's layout; `motion_adapter` where there are motion modules.

    Raises:
        UserError: a backbone of another package, whose configuration is not known here.
    """
    if spec.asset:
        return _of_folder(spec)
    if spec.made_up:
        return _of_toy(spec)
    file = places.PACKAGE / SHIPPED / f"{spec.name}.json"
    if not file.is_file():
        raise UserError(f"{spec.name}: motionkit does not have its configuration, so its cost cannot be counted")
    found: Configs = json.loads(file.read_text(encoding="utf-8"))
    return (configs_of(catalog.get(spec.base)) | found) if spec.base else found


def _of_folder(spec: BackboneSpec) -> Configs:
    """The configurations in the package's own folder."""
    folder = places.assets() / str(spec.asset)
    wanted = [part for part in _PARTS if part in spec.layout]
    found = {part: read_json(folders.part_file(folder, part, "config.json")) for part in wanted}
    found["scheduler"] = read_json(folders.part_file(folder, "scheduler", "scheduler_config.json"))
    if spec.base:
        found["motion_adapter"] = read_json(folder / "motion_adapter" / "config.json")
    return found


def _of_toy(spec: BackboneSpec) -> Configs:
    module, _, function = spec.sizes.partition(":")
    sizes = dict(getattr(importlib.import_module(module), function)(spec.family))
    text = {"vocab_size": 64, "model_type": "clip_text_model"}
    found = {part: text | dict(sizes[part]) if part.startswith("text") else dict(sizes[part]) for part in sizes}
    if spec.shapes:
        found["unet"] = importlib.import_module(spec.shapes).toy(spec.name)
    if spec.base:
        from motionkit.backbones.tiny_sizes import ADAPTER

        found["motion_adapter"] = dict(ADAPTER) | {"block_out_channels": found["unet"]["block_out_channels"]}
    return found
