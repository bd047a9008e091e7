"""Where a training keeps its state: one file, or an index and the files that it names. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from motionkit.errors import UserError
from motionkit.weights.model_files import read_json

SINGLE, INDEX = "last.pt", "last.index.json"
SLOTS = ("a", "b")  # the files of an index have one slot's names, so that the next ones never replace them


def found(folder: Path) -> Path | None:
    """The last state in a folder: the single file or the index; the newer one where a stop left both."""
    files = [file for file in (folder / INDEX, folder / SINGLE) if file.is_file()]
    return max(files, key=lambda file: file.stat().st_mtime_ns) if files else None


def remove(folder: Path, kept: Collection[str] = ()) -> None:
    """Remove every state in a folder but for the files `kept`, and what a killed run left; an index goes first."""
    slots = (file for slot in SLOTS for file in of_slot(folder, slot))
    for old in (folder / INDEX, folder / SINGLE, *slots):
        if old.name not in kept:
            old.unlink(missing_ok=True)


def of_slot(folder: Path, slot: str) -> Iterator[Path]:
    """The files of a slot, unfinished ones too."""
    yield from folder.glob(f"last-{slot}[-.]*safetensors*")


def free_slot(folder: Path) -> str:
    """The slot that no index names. Raises: UserError: the index is damaged."""
    file = folder / INDEX
    return SLOTS[0] if not file.is_file() or read_json(file).get("slot") == SLOTS[1] else SLOTS[1]


def shards(index: Path) -> dict[str, list[str]]:
    """The files that an index names, each with the names of its tensors.

    Raises:
        UserError: the index is damaged, names a file elsewhere, or one that is missing.
    """
    held: dict[str, list[str]] = {}
    for tensor, name in dict(read_json(index).get("weight_map") or {}).items():
        held.setdefault(str(name), []).append(tensor)
    if bad := [name for name in held if Path(name).name != name or not (index.parent / name).is_file()]:
        raise UserError(
            f"{index} names {len(bad)} of {len(held)} files that are not beside it, e.g. {bad[0]}: put them there, or "
            "give resume=false to start over"
        )
    return held
