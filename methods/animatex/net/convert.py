"""The authors' checkpoint to a folder in motionkit's layout: `motionkit convert animatex SOURCE FOLDER`.

Names of the repositories and files: github.com/antgroup/animate-x, README. The checkpoint is a pickle; it is read with
`weights_only`, which runs nothing of it, and mapped, so that one weight at a time is in memory.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from torch import Tensor

from motionkit.errors import UserError, unknown
from motionkit.methods.animatex.net.backbone import SCHEDULE, empty_network
from motionkit.methods.animatex.net.config import RELEASED, AnimateXConfig, from_dict
from motionkit.methods.animatex.net.keys import BUFFERS, authors_name, prefixes
from motionkit.methods.animatex.net.missing_parts import Linked, link_missing_parts
from motionkit.methods.animatex.net.stream import write_stream
from motionkit.weights.model_files import MODEL, read_json

DTYPES = ("float16", "bfloat16", "float32")
OPTIONS = ("dtype", "config", "base", "image_encoder")


def run(source: Path, target: Path, options: Mapping[str, str]) -> str:
    """What the command line calls; returns what to print.

    Options: dtype of the written weights (float16); config, a JSON file with the sizes of a network that is not the
    released one; base, image_encoder: folders or hub ids that lend the parts which the checkpoint does not hold.
    Raises: UserError.
    """
    for name in options:
        if name not in OPTIONS:
            raise unknown("option", name, OPTIONS)
    dtype = options.get("dtype", DTYPES[0])
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    config = from_dict(read_json(Path(options["config"]).expanduser())) if "config" in options else RELEASED
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file: give a folder to write the model into")
    weights = read_checkpoint(source)
    count = convert(weights, target, config, getattr(torch, dtype), source)
    linked = link_missing_parts(target, options)
    return "\n".join([f"{target}: {count} weights, {dtype}", *linked.lines, _next(target, linked)])


def _next(target: Path, linked: Linked) -> str:
    if linked.missing:
        return "then run the same command again, or put the folders there yourself"
    return f"use it with backbone=animatex backbone.path={target}"


def convert(
    weights: Mapping[str, Tensor], target: Path, config: AnimateXConfig, dtype: torch.dtype, source: Path
) -> int:
    """Write the network's part and the noise schedule of a model folder; returns the number of weights.

    Nothing stays under its final name when it breaks off. Raises: UserError when names or shapes are not the network's.
    """
    renamed = rename(config, weights, str(source))
    folder = target / "unet"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_stream(folder / f"{MODEL}.safetensors", renamed, dtype, str(source))
        (folder / "config.json").write_text(json.dumps(config.as_dict(), indent=2) + "\n", encoding="utf-8")
        DDIMScheduler(**SCHEDULE).save_pretrained(target / "scheduler")
    except OSError as error:
        raise UserError(f"cannot write to {target}: {error.strerror or error}") from error
    return len(renamed)


def read_checkpoint(source: Path) -> dict[str, Tensor]:
    """The state dict of a file, flat or below "state_dict", read without running anything that it may hold.

    Raises: UserError: not such a file, or one that holds more than weights.
    """
    try:
        if source.suffix == ".safetensors":
            content: Any = load_file(source)
        else:
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except Exception as error:  # torch names a refused pickle and a broken archive in many ways
        broken = "it is damaged or holds more than weights; nothing was run"
        reason = broken if source.exists() else "it is not there"
        raise UserError(f"cannot read {source} as an Animate-X checkpoint: {reason}") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{source} holds no weights (no state dict, and none under state_dict)")
    return tensors


def rename(config: AnimateXConfig, weights: Mapping[str, Tensor], source: str = "the checkpoint") -> dict[str, Tensor]:
    """Their weights under our names and in our shapes; every one has to have its place, the sinusoids are left out.

    Raises: UserError naming what is missing, what is too much, or another shape.
    """
    table, own = prefixes(config), empty_network(config).state_dict()
    theirs = {name: authors_name(name, table) for name in own}
    lost = sorted(set(theirs.values()) - set(weights))
    extra = sorted(set(weights) - set(theirs.values()) - set(BUFFERS))
    if lost or extra:
        which = f"lacks {len(lost)} of {len(own)} weights, e.g. {lost[0]}" if lost else ""
        also = f"has {len(extra)} that are not the network's, e.g. {extra[0]}" if extra else ""
        wrong = " and ".join(filter(None, (which, also)))
        raise UserError(f"{source} {wrong}: not an Animate-X network of these sizes")
    renamed = {}
    for name, value in own.items():
        found = weights[theirs[name]]
        shape = tuple(found.shape)
        if shape not in (tuple(value.shape), (*value.shape, 1)):  # 1x1 convolutions over time are linear layers here
            raise UserError(f"{source}: {theirs[name]} has shape {list(shape)}, the network's is {list(value.shape)}")
        renamed[name] = found.reshape(value.shape)
    return renamed
