"""The folders of YAML files that packages declare: where they are, and what they say of a part."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from motionkit.errors import UserError

CONFIG = "pkg://motionkit.conf"


def folder_of(path: str, group: str, name: str) -> resources.abc.Traversable:
    """A folder of configuration files. Raises: UserError where it is not there."""
    kind, _, place = path.rpartition("://")
    try:
        folder = resources.files(place) if kind == "pkg" else Path(place)
    except (ImportError, TypeError, ValueError) as error:
        folder = None
        why: object = error
    if folder is None or not folder.is_dir():
        why = "there is no such folder" if folder is not None else why
        raise UserError(f"{group} {name!r}: its conf={path} cannot be read ({why}), which its package has to mend")
    return folder


def said_of(path: str | None, group: str, name: str) -> dict[str, Any]:
    """What the YAML of a part says, whatever was typed; {} without a file. Raises: UserError as `folder_of`."""
    import yaml

    file = folder_of(path, group, name) / group / f"{name}.yaml" if path else None
    found = yaml.safe_load(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else None
    return found if isinstance(found, dict) else {}
