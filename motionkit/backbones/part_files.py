"""Which parts of a backbone come from other files: its autoencoder, words of textual inversion. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionkit.errors import MissingWeights, UserError
from motionkit.weights.hashing import hash_json, hash_path
from motionkit.weights.model_files import MODEL, weight_files

VAE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
WORD_FILES = (".safetensors", ".pt", ".bin")


@dataclass(frozen=True)
class PartOptions:
    """Single parts that the `backbone` group replaces or adds.

    Attributes:
        vae: a folder in diffusers' layout, or a file under the names of the autoencoder's authors or of diffusers.
        embeddings: files of textual inversion; a prompt names each by its file's name, or by the word that it holds.
    """

    vae: str | None = None
    embeddings: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what cannot work before any weight loads. Raises: UserError."""
        self.files()

    def files(self) -> dict[str, Path]:
        """Every file, by what it is. Raises: MissingWeights, UserError."""
        found = {f"embeddings/{i}": _file(path, WORD_FILES, "embeddings") for i, path in enumerate(self.embeddings)}
        if self.vae is None:
            return found
        place = Path(self.vae).expanduser()
        if not place.is_dir():
            return found | {"vae": _file(self.vae, VAE_FILES, "vae")}
        weights = weight_files(place, MODEL, pickled=True)
        if not weights or not (place / "config.json").is_file():
            raise MissingWeights(f"backbone.vae={self.vae}: the folder lacks config.json or {MODEL}.safetensors")
        return found | {"vae/config.json": place / "config.json", **{f"vae/{file.name}": file for file in weights}}

    def fingerprint(self, backbone: str) -> str:
        """The hash of a backbone with these parts, from its hash without."""
        words = [Path(path).stem for path in self.embeddings]
        files = {name: hash_path(file) for name, file in self.files().items()}
        return hash_json({"backbone": backbone, "parts": files, "words": words})

    def facts(self) -> dict[str, Any]:
        """For the manifest: names and hashes, without their paths on this machine."""
        return {name: {"name": file.name, "sha256": hash_path(file)} for name, file in self.files().items()}


def parts_of(vae: Any = None, embeddings: Any = None) -> PartOptions | None:
    """What was asked for; None for nothing. `embeddings`: one path or a list of them."""
    listed = [embeddings] if isinstance(embeddings, str | os.PathLike) else embeddings or ()
    if not isinstance(listed, Iterable):
        raise UserError(f"backbone.embeddings={embeddings!r}: give a path or a list of paths")
    said = PartOptions(str(vae) if vae else None, tuple(str(path) for path in listed))
    return said if said != PartOptions() else None


def _file(path: str, suffixes: tuple[str, ...], key: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingWeights(f"backbone.{key}={path}: there is no such file")
    if file.suffix not in suffixes:
        raise UserError(f"backbone.{key}={path}: its name must end in {', '.join(suffixes)}")
    return file
