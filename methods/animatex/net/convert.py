"""The authors' checkpoint to a folder in motionkit's layout: `motionkit convert animatex SOURCE FOLDER`.

Names of the repositories and files: github.com/antgroup/animate-x, README. The checkpoint is a pickle; it is read with
`weights_only`, which runs nothing of it, and mapped, so that one weight at a time is in memory.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from torch import Tensor

from motionkit.errors import UserError, unknown
from motionkit.methods.animatex.net.backbone import SCHEDULE, empty_network
from motionkit.methods.animatex.net.config import RELEASED, AnimateXConfig, from_dict
from motionkit.methods.animatex.net.keys import BUFFERS, REFERENCE_BRANCH, authors_name, prefixes
from motionkit.methods.animatex.net.missing_parts import Linked, link_missing_parts
from motionkit.methods.animatex.net.stream import write_stream
from motionkit.weights.model_files import MODEL, read_json

DTYPES = ("float16", "bfloat16", "float32")
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module")
PREFIXES = ("module.", "_orig_mod.", "model.", "unet.")
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
    lines = [f"{target}: {count} weights, {dtype}", *remarks(config, weights), *linked.lines]
    return "\n".join([*lines, _next(target, linked)])


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
    if compared(config, weights).branch:
        config = replace(config, reference="local")
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
    """The state dict of a file, read without running code in it.

    It may lie flat, or below a key of `WRAPPERS`, and all names may begin with a prefix of `PREFIXES`.

    Raises: UserError: not such a file, or one that holds more than weights.
    """
    try:
        if source.suffix == ".safetensors":
            content: Any = load_file(source)
        else:
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except Exception as error:  # torch raises many kinds of errors for refused pickles and broken archives
        broken = "it is damaged or holds more than weights (no code in it was run)"
        reason = broken if source.exists() else "no such file"
        raise UserError(f"cannot read {source} as an Animate-X checkpoint: {reason}") from error
    tensors = _unwrapped(content)
    if not tensors:
        raise UserError(f"{source} holds no weights (no state dict, and none under {', '.join(WRAPPERS)})")
    return tensors


def _unwrapped(content: Any) -> dict[str, Tensor]:
    """The tensors of a checkpoint by their own names: a trainer's wrappings are taken off."""
    while isinstance(content, Mapping) and (inner := next((content[w] for w in WRAPPERS if _holds(content, w)), None)):
        content = inner
    state = content if isinstance(content, Mapping) else {}
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    while tensors and (prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), "")):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _holds(content: Mapping[str, Any], key: str) -> bool:
    return isinstance(content.get(key), Mapping)


class Compared(NamedTuple):
    """A checkpoint held against a network.

    Attributes:
        theirs: their name of each of our weights.  lost: what they lack.
        branch: our weights of the branch that takes the reference as a latent, where all of it is missing.
        extra: what they have besides.
    """

    theirs: dict[str, str]
    lost: list[str]
    branch: list[str]
    extra: list[str]


def compared(config: AnimateXConfig, weights: Mapping[str, Tensor]) -> Compared:
    """Which names fit a network of these sizes."""
    table = prefixes(config)
    theirs = {name: authors_name(name, table) for name in empty_network(config).state_dict()}
    branch = [name for name in theirs if name.startswith(REFERENCE_BRANCH)]
    branch = branch if not any(theirs[name] in weights for name in branch) else []
    lost = sorted({theirs[name] for name in theirs.keys() - set(branch)} - set(weights))
    return Compared(theirs, lost, branch, sorted(set(weights) - set(theirs.values()) - set(BUFFERS)))


def remarks(config: AnimateXConfig, weights: Mapping[str, Tensor]) -> list[str]:
    """What a user should know of a checkpoint that was converted, a line each."""
    found, lines = compared(config, weights), []
    if found.branch:
        lines.append(
            "  it has no branch for the reference as a latent: the folder's config therefore says reference=local"
        )
    if found.extra:
        few = ", ".join(found.extra[:3]) + (", ..." if len(found.extra) > 3 else "")
        lines.append(f"  left out because the network does not have them: {len(found.extra)} weights ({few})")
    return lines


def rename(config: AnimateXConfig, weights: Mapping[str, Tensor], source: str = "the checkpoint") -> dict[str, Tensor]:
    """Their weights under our names and in our shapes; what has no place is left out (see `remarks`).

    Where the branch of the reference's latent is missing as a whole, zeros stand in: nothing reads them in local mode.
    Raises: UserError naming what is missing, or another shape.
    """
    own, (theirs, lost, branch, extra) = empty_network(config).state_dict(), compared(config, weights)
    if lost:
        also = f" and has {len(extra)} that are not the network's, e.g. {extra[0]}" if extra else ""
        which = f"lacks {len(lost)} of {len(own)} weights, e.g. {lost[0]}"
        raise UserError(f"{source} {which}{also}: not an Animate-X network of these sizes")
    renamed = {}
    for name, value in own.items():
        if name in branch:
            renamed[name] = torch.zeros(value.shape)
            continue
        found = weights[theirs[name]]
        shape = tuple(found.shape)
        if shape not in (tuple(value.shape), (*value.shape, 1)):  # 1x1 convolutions over time are linear layers here
            raise UserError(f"{source}: {theirs[name]} has shape {list(shape)}, the network's is {list(value.shape)}")
        renamed[name] = found.reshape(value.shape)
    return renamed
