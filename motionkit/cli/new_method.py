"""`motionkit new-method`: create a package with a working method, to start from."""

from __future__ import annotations

import datetime
import re
import shlex
from importlib import resources
from pathlib import Path
from string import Template

from motionkit import registry
from motionkit.errors import UserError
from motionkit.media.output_files import check_writable, local_path, temporary_beside, writing

HELP = """usage: motionkit new-method NAME [FOLDER | output=FOLDER] [backbone=true]

Creates a Python package that adds one method to motionkit: pyproject.toml with its entry point, the facts (SPEC),
settings, a small working method, its YAML, and tests that check motionkit's contract. Nothing in motionkit
changes. FOLDER (default: motionkit-NAME) is created with its parents; an existing one is refused.

  backbone=true    the package brings a backbone of a kind of its own too, tiny-NAME: its facts, a small network, a
                   loader, its YAML and tests

example: motionkit new-method puppet
         pip install -e motionkit-puppet && python -m motionkit.testing puppet
"""
TEMPLATES, BACKBONE = "assets/new_method", "assets/new_backbone"
LONGEST = 40
# What YAML or Hydra reads as something other than a name.
_NO_NAMES = ("true", "false", "yes", "no", "on", "off", "y", "n", "null", "none", "nan", "inf", "auto")
# What a backbone adds to the files of the method.
_POINTS = """
[project.entry-points."motionkit.backbones"]
tiny-$name = "$package.backbone:BACKBONE"
"""
_PACKAGES = ', "$package.backbone"'
_README = """- **Its own backbone**: `$package/backbone/` holds the facts about `tiny-$name`, its network and loader,
  at toy size and with random weights. `motionkit backbones tiny-$name` says which methods run on it, and
  `python -m motionkit.testing tiny-$name` whether it is what it declares.
"""


def main(argv: list[str]) -> int:
    """Write the package; returns the exit code."""
    more = [word for word in argv if word.startswith("backbone=")]
    words = [_folder(word) for word in argv if word not in more]
    backbone = _switch(more)
    if strange := [word for word in words if word.startswith("-")]:
        raise UserError(f"new-method takes NAME and optionally FOLDER (got {strange[0]})")
    if not 1 <= len(words) <= 2:
        raise UserError("new-method takes a name and optionally a folder: motionkit new-method puppet my_folder")
    name, folder = words[0], local_path(words[1] if len(words) == 2 else f"motionkit-{words[0]}")
    check_name(name, backbone)
    files = write_package(name, folder, backbone)
    print(f"{folder}: {' '.join(files)}")
    judged = [name, f"tiny-{name}"] if backbone else [name]
    print(f"next: pip install -e {shlex.quote(str(folder))} && python -m motionkit.testing {' '.join(judged)}")
    return 0


def _switch(words: list[str]) -> bool:
    """What backbone=... says; false without it."""
    value = words[-1].partition("=")[2] if words else "false"
    if value not in ("true", "false"):
        raise UserError(f"backbone={value}: give true for a backbone of your own, or leave it out")
    return value == "true"


def _folder(word: str) -> str:
    """The folder of output=FOLDER, as other verbs take it; any other word as it is."""
    key, equals, value = word.partition("=")
    if not equals or not key.isidentifier():
        return word
    if key != "output":
        raise UserError(f"new-method takes NAME and optionally output=FOLDER and backbone=true (got {word})")
    if not value.strip():
        raise UserError("output= is empty: give a folder, or leave output= out")
    return value


def check_name(name: str, backbone: bool = False) -> None:
    """Refuse an invalid or misleading name of a method; with a backbone also one whose tiny-NAME is in use.

    Raises:
        UserError: other characters than the contract's, a word that YAML reads as a value, or a name that is in use.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name) or len(name) > LONGEST:
        raise UserError(
            f"{name!r} cannot be a method's name: use up to {LONGEST} lower case letters and digits, a letter first, "
            "words joined by - or _, such as paper-puppet"
        )
    if name in _NO_NAMES:
        raise UserError(f"{name!r} cannot be a method's name: YAML and Hydra read it as a value; choose another")
    taken = {known: registry.registered(known).dist for known in registry.names()}
    taken |= {failure.name: failure.dist for failure in registry.failures()}
    if name in taken:
        raise UserError(f"the name {name!r} is taken by {taken[name]}: choose another (`motionkit methods` lists them)")
    if backbone and f"tiny-{name}" in registry.BACKBONES.names():
        raise UserError(f"there is a backbone tiny-{name}: choose another name (`motionkit backbones` lists them)")


def write_package(name: str, folder: Path, backbone: bool = False) -> list[str]:
    """Write the package as `folder`, completely or not at all; returns its files, relative to it.

    Raises:
        UserError: the folder exists, or cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise UserError(f"{folder} exists: give another folder as the second word")
    check_writable(folder.parent)
    files = rendered(name, backbone)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(folder) as temporary:
            for path, text in files.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).write_text(text, encoding="utf-8")
    return sorted(files)


def rendered(name: str, backbone: bool = False) -> dict[str, str]:
    """The package's files for a method of that name, and for a backbone beside it: relative path -> text."""
    package = "motionkit_" + name.replace("-", "_")
    words = re.split("[-_]", name)
    values = {
        "name": name,
        "package": package,
        "dist": "motionkit-" + name.replace("_", "-"),
        "cls": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
        "year": str(datetime.date.today().year),
    }
    more = {"points": _POINTS, "packages": _PACKAGES, "backbone": _README} if backbone else {}
    values |= {key: Template(more.get(key, "")).substitute(values) for key in ("points", "packages", "backbone")}
    names = {"package": package, "NAME.yaml": f"{name}.yaml", "test_NAME.py": f"test_{package[10:]}.py"}
    names |= {"BACKBONE.yaml": f"tiny-{name}.yaml", "test_BACKBONE.py": f"test_{package[10:]}_backbone.py"}
    found = {}
    for templates in (TEMPLATES, BACKBONE) if backbone else (TEMPLATES,):
        for parts, text in _texts(resources.files("motionkit").joinpath(templates)):
            path = "/".join(names.get(part, part) for part in parts)
            found[path] = Template(text).substitute(values)
    return found


def _texts(folder: resources.abc.Traversable, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """Every template below a folder: the parts of its path, without the suffix .txt, and its text."""
    found = []
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            found += _texts(item, (*above, item.name))
        elif item.name.endswith(".txt"):
            found.append(((*above, item.name.removesuffix(".txt")), item.read_text(encoding="utf-8")))
    return found
