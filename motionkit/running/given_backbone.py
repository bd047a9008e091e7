"""What a Python call may give as a backbone: a name, a folder, a hub id, or a pipeline that is loaded already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.running.lazy_backbone import backbones_of
from motionkit.weights.model_files import read_json
from motionkit.weights.places import other_names

if TYPE_CHECKING:
    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.transfer import MethodSpec


def backbone_of(spec: MethodSpec, given: Any, path: str | os.PathLike[str] | None) -> tuple[str | None, str | None]:
    """The backbone's name and the place of its weights.

    Args:
        given: a name; a folder in the hub's layout, whose model is told from its UNet's configuration; the hub id of a
            backbone that is in the list; or something else, which is refused.
        path: a folder or hub id that was given beside it.

    Raises: UserError: what cannot be used, with what to write instead.
    """
    place = None if path is None else os.fspath(path)
    if given is None or (isinstance(given, str) and not _is_place(given)):
        return given, place
    if not isinstance(given, str | os.PathLike):
        raise UserError(
            f"backbone is a {type(given).__name__}: weights are read from files, which results name by their hash: "
            'pipeline.save_pretrained("FOLDER"), then backbone="FOLDER"'
        )
    given = os.fspath(given)
    if not spec.backbones:
        return None, None
    if place is not None:
        raise UserError(
            f"backbone={given} and backbone_path={place} both name a place for the weights: {_how(spec, given)}"
        )
    if Path(given).expanduser().is_dir():
        return _recognised(spec, Path(given).expanduser()).name, given
    named = [known for name in backbones_of(spec) if given in _ids(known := catalog.get(name))]
    if named:
        return min(named, key=lambda known: known.base is not None).name, None
    raise UserError(f"backbone={given} is neither a folder nor a known backbone: {_how(spec, given)}")


def _ids(known: BackboneSpec) -> list[str]:
    """The hub ids of a backbone's weights, also those from before they moved."""
    return [known.hub_id, *other_names(known.hub_id)] if known.hub_id else []


def _is_place(given: str) -> bool:
    return "/" in given or os.sep in given or given.startswith(("~", "."))


def _recognised(spec: MethodSpec, folder: Path) -> BackboneSpec:
    """The backbone of the method whose model a folder holds; of equals the last in the method's list.

    Raises:
        UserError: none of them.
    """
    file = folder / "unet" / "config.json"
    unet = read_json(file) if file.is_file() else {}
    found = [known for name in backbones_of(spec) if _fits(known := catalog.get(name), unet)]
    moves = (folder / "motion_adapter").is_dir()
    if not found:
        raise UserError(f"backbone={folder}: it is not clear which model it holds: {_how(spec, str(folder))}")
    return max(enumerate(found), key=lambda item: ((item[1].base is not None) == moves, item[0]))[1]


def _fits(known: BackboneSpec, unet: dict[str, Any]) -> bool:
    if not (known.expects and known.hub_id):
        return False
    return unet.get("_class_name") == known.unet_class and all(unet.get(key) == value for key, value in known.expects)


def _how(spec: MethodSpec, place: str) -> str:
    known = [name for name in spec.backbones if name in catalog.specs()]
    published = [name for name in known if catalog.get(name).hub_id]
    large = [name for name in published if ("xl" in name) == ("xl" in place.lower())] or published
    pictures = [name for name in large if not catalog.get(name).makes_clips]
    name = [*spec.backbones, *large, *pictures][-1]
    return (
        f'say which kind it is, as backbone="{name}", backbone_path="{place}" '
        f"({spec.name} runs on {', '.join(backbones_of(spec))})"
    )
