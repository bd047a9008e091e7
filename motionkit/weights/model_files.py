"""The files of one model: JSON configuration, safetensors (full, half-precision or in shards), pickles. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from motionkit.errors import UserError

MODEL, TEXT = "diffusion_pytorch_model", "model"  # how diffusers and transformers call a file of weights
_PICKLED = {MODEL: MODEL, TEXT: "pytorch_model"}  # how the same weights are called as a pickle
_VARIANTS = ("", ".fp16")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises: UserError when it is not one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"cannot read {path}: not a JSON object")
    return data


def weight_files(folder: Path, stem: str, pickled: bool = False) -> list[Path]:
    """The files of one component: the full file, its half-precision variant, or the shards of an index.

    `pickled`: where there are no safetensors, as in zeroscope's folders, the pickle that older libraries wrote, for
    readers that take it as plain data (`reading.load_model`).
    """
    for variant in _VARIANTS:
        if (file := folder / f"{stem}{variant}.safetensors").is_file():
            return [file]
        if (index := folder / f"{stem}.safetensors.index{variant}.json").is_file():
            shards = sorted(set(read_json(index).get("weight_map", {}).values()))
            if bad := [name for name in shards if Path(name).name != name]:
                raise UserError(f"{index} names files outside its folder: {', '.join(bad)}")
            return [folder / name for name in shards]
    old = [folder / f"{_PICKLED[stem]}{variant}.bin" for variant in _VARIANTS if stem in _PICKLED]
    return [file for file in old if file.is_file()][:1] if pickled else []


def pickles(folder: Path) -> list[Path]:
    """The files of a folder that are pickles by their names."""
    return sorted(path for path in folder.glob("*") if path.suffix in _PICKLES)


def refuse_pickle(title: str, folder: Path) -> None:
    """Say what to do where a folder has pickles, but none under the name that weights have. Raises: UserError."""
    if found := pickles(folder):
        stem = TEXT if "encoder" in folder.name else MODEL
        raise UserError(
            f"{title}: {folder} has no {stem}.safetensors, and {found[0].name} is not a name that is read: get the "
            f"safetensors file, or rename the pickle that holds these weights to {_PICKLED[stem]}.bin (pickles are "
            "read as plain tensors; code in them is never run)"
        )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut when it is long, or the error's name."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
