"""A backbone's folder in the hub's layout: which files it has, what one lacks, and where it lies. No torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from motionkit.backbones.layouts import OPTIONAL
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import MissingWeights, UserError
from motionkit.weights import places
from motionkit.weights.finding import Wanted, find
from motionkit.weights.model_files import MODEL, TEXT, read_json, refuse_pickle, weight_files

FILES = (".safetensors", ".ckpt")  # of checkpoints in one file


def wanted(spec: BackboneSpec) -> Wanted:
    """The files of a backbone as weights to be found."""
    made = ""
    if spec.converter:
        made = (
            f"convert the authors' checkpoint ({spec.weights}) once: motionkit convert {spec.name} "
            f"CHECKPOINT FOLDER, then give backbone.path=FOLDER"
        )
    return Wanted(
        spec.name,
        missing_in=lambda folder: inventory(spec, folder)[1],
        checked=lambda folder: _checked(spec, folder),
        shipped=places.assets() / spec.asset if spec.asset else None,
        hub_id=None if spec.converter else spec.hub_id,
        also=tuple(_optional(spec)),
        size=f"about {spec.approx_gb:.3g} GB in all",
        setting="backbone.path",
        accepts="a folder, a file or a hub id owner/name" if spec.one_file else Wanted.accepts,
        made=made or "give the folder with its weights as backbone.path=FOLDER",
    )


def locate(spec: BackboneSpec, path: str | None = None, online: bool = False) -> Path:
    """The folder with all of the backbone's files: `path` (folder or hub id), else the package, else the hub cache.

    A checkpoint in one file is returned as it is, where the backbone reads such (`BackboneSpec.one_file`).

    Raises: as `weights.finding.find`; UserError for what is not a folder in hub layout.
    """
    if path and path != spec.hub_id and path not in places.other_names(spec.hub_id or ""):
        spec = replace(spec, hub_variant="")  # the hub's half-precision files are those of the default weights
    return find(wanted(spec), path, online or None)


def _checked(spec: BackboneSpec, folder: Path) -> Path:
    if folder.is_file():
        if spec.one_file and folder.suffix in FILES:
            return folder
        raise UserError(f"{spec.name}: {folder} is one file; {_instead_of_a_file(spec, folder)}")
    missing = inventory(spec, folder)[1]
    if missing and spec.asset and folder == places.assets() / spec.asset:
        raise MissingWeights(
            f"{spec.name}: this installation lacks {', '.join(missing)} in {folder}: {places.install_again()}, "
            f"or give backbone.path=FOLDER"
        )
    if missing and not any((folder / part).is_dir() for part in spec.layout):
        raise MissingWeights(
            f"{spec.name}: {folder} is not a model folder in the hub's layout: it has none of the folders "
            f"{', '.join(spec.layout)}"
        )
    if missing:
        raise MissingWeights(f"{spec.name}: {folder} lacks {', '.join(missing)}")
    return folder


def _instead_of_a_file(spec: BackboneSpec, file: Path) -> str:
    """How to make a folder from a single-file checkpoint."""
    if spec.converter:
        return (
            f"convert it to a folder once: motionkit convert {spec.name} {file} FOLDER, then give backbone.path=FOLDER"
        )
    if not spec.pipeline:
        return f"motionkit reads folders in the hub's layout ({', '.join(spec.layout)})"
    return (
        f"motionkit reads folders in the hub's layout. Convert it once with: python -c \"from diffusers import "
        f"{spec.pipeline} as P; P.from_single_file('{file}').save_pretrained('{file.stem}')\""
    )


def _optional(spec: BackboneSpec) -> list[str]:
    return [f"{part}/{name}" for part, names in spec.layout.items() for name in names if name in OPTIONAL]


def part_folders(folder: Path, part: str) -> list[Path]:
    """The folders that are searched for a part's files, in order: a file or weight missing in one comes from the next.

    Only the models in the package have more than one, since they share parts to stay small: the folder of the package
    that their shared.json names, and those that this one's shared.json names in turn. In any other folder shared.json
    is ignored.
    """
    own = [folder / part]
    if folder.resolve().parent != places.assets().resolve() or not (folder / "shared.json").is_file():
        return own
    other = read_json(folder / "shared.json").get(part)
    if not other:
        return own
    lender, _, name = str(other).rpartition("/")
    return [*own, *part_folders(places.assets() / lender, name)]


def part_file(folder: Path, part: str, name: str) -> Path:
    """A file of a part, in the first of its folders that has it (in the part's own when none has)."""
    places = [place / name for place in part_folders(folder, part)]
    return next((file for file in places if file.is_file()), places[0])


def inventory(spec: BackboneSpec, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files that the backbone reads, and those that `folder` lacks, by relative name.

    For a single-file checkpoint: that file and the configurations that belong to it.
    Raises: UserError where weights exist only as a pickle.
    """
    if folder.is_file():
        return {"file": folder, "configs": places.PACKAGE / "configs" / f"{spec.one_file}.json"}, []
    present: dict[str, Path] = {}
    missing: list[str] = []
    for part, names in spec.layout.items():
        if part_file(folder, part, "tokenizer.json").is_file():  # the newer file in place of vocab.json and merges.txt
            names = ("tokenizer.json", "tokenizer_config.json")
        for name in names:
            found = _found(spec, folder, part, name)
            lost = [key for key, file in found.items() if not file.is_file()]
            missing += lost if name not in OPTIONAL else []
            present |= {key: file for key, file in found.items() if key not in lost}
    return present, missing


def _found(spec: BackboneSpec, folder: Path, part: str, name: str) -> dict[str, Path]:
    """Relative name and place of a file of the layout; weights may be several files, in several folders."""
    if name not in (MODEL, TEXT):
        return {f"{part}/{name}": part_file(folder, part, name)}
    found: dict[str, Path] = {}
    for place in part_folders(folder, part):
        own = place == folder / part
        found |= {f"{'' if own else 'shared/'}{part}/{file.name}": file for file in weight_files(place, name, True)}
    if not found:
        refuse_pickle(spec.name, folder / part)
        variant = f".{spec.hub_variant}" if spec.hub_variant else ""
        lost = f"{part}/{name}{variant}.safetensors"
        found = {lost: folder / lost}
    return found
