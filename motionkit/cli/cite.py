"""`motionkit cite`: BibTeX of methods, or of what a run used."""

from __future__ import annotations

import json
import re
from pathlib import Path

from motionkit import __version__, registry
from motionkit.errors import UserError, unknown

HELP = """usage: motionkit cite METHOD [METHOD ...]
       motionkit cite --run runs/transfer/.../manifest.json [MANIFEST ...]

Prints BibTeX for the methods, and for motionkit itself.
"""

OWN = f"""@software{{motionkit,
  title   = {{motionkit: motion transfer methods behind one contract}},
  author  = {{{{The motionkit authors}}}},
  version = {{{__version__}}},
  year    = {{2026}}
}}"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    methods, manifests = _apart(argv)
    if not methods and not manifests:
        raise UserError("cite needs the name of a method, or --run manifest.json")
    found = [registry.spec(name).citation for name in methods]
    found += [entry for path in manifests for entry in from_manifest(Path(path))]
    others = [entry.strip() for entry in found if entry.strip() and _key(entry) != _key(OWN)]
    print("\n\n".join(dict.fromkeys([*others, OWN])))
    return 0


def _apart(words: list[str]) -> tuple[list[str], list[str]]:
    """Names of methods, and after --run paths of manifests."""
    methods: list[str] = []
    manifests: list[str] = []
    into = methods
    for position, word in enumerate(words):
        flag, equals, path = word.partition("=")
        if flag == "--run":
            into = manifests
            if not (path if equals else words[position + 1 :]):
                raise UserError("--run needs the manifest.json of a run")
            manifests += [path] if equals else []
        elif word.startswith("-"):
            raise unknown("option", flag, ("--run",))
        else:
            into.append(word)
    return methods, manifests


def _key(entry: str) -> str:
    """The name under which a BibTeX entry is cited."""
    found = re.match(r"\s*@\w+\s*\{([^,]*),", entry)
    return found[1].strip() if found else entry


def from_manifest(path: Path) -> list[str]:
    """The citations in a run's manifest; a run folder works as well.

    Raises:
        UserError: there is no manifest, or it is not one of a run.
    """
    path = path / "manifest.json" if path.is_dir() else path
    try:
        citation = json.loads(path.read_text(encoding="utf-8"))["method"]["citation"]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the manifest of a run") from error
    if not isinstance(citation, str):
        raise UserError(f"{path} is not the manifest of a run: its citation is not text")
    return [citation]
