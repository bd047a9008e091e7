"""Which files a LoRA is made of, and their hash. No torch, nothing is read but for the hash."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from motionkit.errors import UserError
from motionkit.weights.hashing import hash_json, hash_path

SUFFIXES = (".safetensors", ".pt", ".bin")
_KNOWN = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")  # diffusers, peft
_UNET, _TEXT = "_unet.pt", "_text_encoder.pt"  # the two halves that the FlipSketch authors' trainer writes
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class LoraOptions:
    """What the `backbone` group says about a LoRA: a file or folder, and how strongly it counts."""

    path: str
    scale: float = 1.0

    def check(self) -> None:
        """Refuse what cannot work before any weight loads. Raises: UserError."""
        if not math.isfinite(self.scale):
            raise UserError(f"backbone.lora_scale={self.scale} is not a number; 1.0 is the LoRA as it was trained")
        lora_files(self.path)

    def fingerprint(self, backbone: str) -> str:
        """The hash of a backbone of that hash with this LoRA merged into it."""
        return hash_json({"backbone": backbone, "lora": lora_hash(self.path), "scale": float(self.scale)})

    def facts(self) -> dict[str, str | float]:
        """For the manifest: what it is, and not where it lies on this machine."""
        name = Path(self.path).expanduser().resolve().name
        return {"name": name, "scale": self.scale, "sha256": lora_hash(self.path)}


def lora_files(path: str | Path) -> list[Path]:
    """The files of a LoRA, given one of them or the folder that holds it: weights first.

    A `.pt` file of the FlipSketch authors' kind, NAME_unet.pt, brings NAME_text_encoder.pt from beside it, and peft's
    adapter_model.safetensors its adapter_config.json.
    Raises: UserError for no such path, another kind of file, and a folder with no LoRA or with several.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"no LoRA at {path}: give a file ({', '.join(SUFFIXES)}) or a folder that holds one")
    file = _in_folder(place) if place.is_dir() else place
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} is no LoRA file: it should end in {', '.join(SUFFIXES)}")
    beside = []
    if file.name.endswith(_UNET):
        beside = [file.with_name(file.name.removesuffix(_UNET) + _TEXT)]
    elif file.name == _KNOWN[1]:
        beside = [file.with_name(ADAPTER)]
    return [file, *(other for other in beside if other.is_file())]


def _in_folder(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
    for chosen in (
        [file for file in files if file.name in _KNOWN],
        [file for file in files if not file.name.endswith(_TEXT)],
        files,
    ):
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            names = ", ".join(file.name for file in chosen[:6])
            raise UserError(f"{folder} holds {len(chosen)} LoRA files ({names}): name one of them")
    raise UserError(f"{folder} holds no LoRA: no file in it ends in {', '.join(SUFFIXES)}")


def lora_hash(path: str | Path) -> str:
    """SHA-256 over the contents of all of a LoRA's files. Raises: as `lora_files`."""
    return hash_json([hash_path(file) for file in lora_files(path)])
