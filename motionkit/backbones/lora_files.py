"""Which LoRAs are asked for, which files they are made of, and their hashes. No torch, only hashing reads anything."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionkit.errors import UserError
from motionkit.weights.hashing import hash_json, hash_path

SUFFIXES = (".safetensors", ".pt", ".bin")  # of files that a folder is searched for
_NAMED = (*SUFFIXES, ".ckpt")  # of one that is named itself: AnimateDiff's domain and motion LoRAs, among them
PEFT = "adapter_model"  # peft's file, whose alpha is in the configuration beside it
_KNOWN = ("pytorch_lora_weights.safetensors", f"{PEFT}.safetensors")  # diffusers, peft
# What trainers leave beside a LoRA, by the beginning of its name: arguments and states, no weights.
_TRAINERS = ("training_args", "optimizer", "scheduler", "scaler", "rng_state", "random_states", "sampler")
_STATE = "last.pt"  # what motionkit's own trainings resume from
_UNET, _TEXT = "_unet.pt", "_text_encoder.pt"  # the two halves that the FlipSketch authors' trainer writes
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class LoraOptions:
    """One LoRA of the `backbone` group: a file or folder, and its strength."""

    path: str
    scale: float = 1.0

    @property
    def each(self) -> tuple[LoraOptions, ...]:
        """Every LoRA that is asked for: this one."""
        return (self,)

    def check(self) -> None:
        """Refuse what cannot work before any weight loads. Raises: UserError."""
        if not math.isfinite(self.scale):
            raise UserError(f"backbone.lora_scale={self.scale} is not a number; 1.0 is the LoRA as it was trained")
        lora_files(self.path)

    def fingerprint(self, backbone: str) -> str:
        """The hash of a backbone with this LoRA merged into it, from its hash without."""
        return hash_json({"backbone": backbone, "lora": lora_hash(self.path), "scale": float(self.scale)})

    def facts(self) -> dict[str, str | float]:
        """For the manifest: what it is, without its path on this machine."""
        name = Path(self.path).expanduser().resolve().name
        return {"name": name, "scale": self.scale, "sha256": lora_hash(self.path)}


@dataclass(frozen=True)
class LoraStack:
    """Several LoRAs at once: each one's change, times its own scale, is added to the original weights."""

    each: tuple[LoraOptions, ...]

    def check(self) -> None:
        """Refuse what cannot work before any weight loads. Raises: UserError."""
        for one in self.each:
            one.check()

    def fingerprint(self, backbone: str) -> str:
        """The hash of a backbone with these LoRAs merged into it in this order, from its hash without."""
        stack = [[lora_hash(one.path), float(one.scale)] for one in self.each]
        return hash_json({"backbone": backbone, "loras": stack})

    def facts(self) -> list[dict[str, str | float]]:
        """For the manifest: what each is, in the order given."""
        return [one.facts() for one in self.each]


Loras = LoraOptions | LoraStack


def loras_of(given: Any, scales: Any = None, place: Callable[[str], str] = str) -> Loras | None:
    """What was asked for as `backbone.lora` and `backbone.lora_scale`; None for no LoRA.

    Args:
        given: one file or folder, a list of them, or of (path, scale); finished options are taken as they are.
        scales: a number for all of them, or a list with one for each; None counts as 1.
        place: resolves a path as it was given.

    Raises:
        UserError: an empty path, a scale that is not a number or of no LoRA, or not as many scales as LoRAs.
    """
    if isinstance(given, LoraOptions | LoraStack):
        return given
    if given is None or isinstance(given, str) and not given:
        if scales not in (None, 1):
            raise UserError(f"backbone.lora_scale={scales} has no LoRA to scale: give backbone.lora=FILE too")
        return None
    items = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not items:
        return None
    many = isinstance(scales, Sequence) and not isinstance(scales, str)
    if many and len(scales) != len(items):
        raise UserError(
            f"backbone.lora_scale has {len(scales)} numbers for {len(items)} LoRAs: give one for each, or one for all"
        )
    counted = [_number(scale) for scale in (scales if many else [scales] * len(items))]
    made = tuple(_one(item, scale, place) for item, scale in zip(items, counted, strict=True))
    return made[0] if len(made) == 1 else LoraStack(made)


def _one(item: Any, scale: float, place: Callable[[str], str]) -> LoraOptions:
    if isinstance(item, LoraOptions):
        return item
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 2:
        item, scale = item[0], _number(item[1])
    if isinstance(item, Mapping | Sequence) and not isinstance(item, str) or item is None or not str(item).strip():
        raise UserError("backbone.lora has an entry that is not a path: give backbone.lora=FILE or backbone.lora=[A,B]")
    return LoraOptions(place(os.fspath(item) if isinstance(item, os.PathLike) else str(item)), scale)


def _number(scale: Any) -> float:
    try:
        return 1.0 if scale is None else float(scale)
    except (TypeError, ValueError):
        raise UserError(f"backbone.lora_scale={scale}: give a number, or [A,B] with one for each LoRA") from None


def from_facts(facts: Mapping[str, Any] | None) -> Loras | None:
    """The options again, from what `dataclasses.asdict` made of them."""
    if not facts:
        return None
    return LoraStack(tuple(LoraOptions(**one) for one in facts["each"])) if "each" in facts else LoraOptions(**facts)


def lora_files(path: str | Path) -> list[Path]:
    """The files of a LoRA, given one of them or the folder that holds it: weights first.

    A `.pt` file of the FlipSketch authors' kind, NAME_unet.pt, brings NAME_text_encoder.pt from beside it, and peft's
    adapter_model (.safetensors, or .bin of older versions) its adapter_config.json.
    Raises: UserError for no such path, another kind of file, and a folder with no LoRA or with several.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise UserError(f"no LoRA at {path}: give a file ({', '.join(_NAMED)}) or a folder that holds one")
    file = _in_folder(place) if place.is_dir() else place
    if file.suffix not in _NAMED:
        raise UserError(f"{file} is not a LoRA file: its name must end in {', '.join(_NAMED)}")
    beside = []
    if file.name.endswith(_UNET):
        beside = [file.with_name(file.name.removesuffix(_UNET) + _TEXT)]
    elif file.stem == PEFT:
        beside = [file.with_name(ADAPTER)]
    return [file, *(other for other in beside if other.is_file())]


def _in_folder(folder: Path) -> Path:
    """The one LoRA file of a folder: no file of a trainer's state, and no pickle of which the tensors lie beside it."""
    held = {file for file in folder.iterdir() if file.suffix in SUFFIXES and not file.name.startswith(_TRAINERS)}
    held = {file for file in held if file.name != _STATE}
    files = sorted(file for file in held if file.suffix == SUFFIXES[0] or file.with_suffix(SUFFIXES[0]) not in held)
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
