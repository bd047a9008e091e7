"""`motionkit cite`: BibTeX of methods, or of what a run used."""

from __future__ import annotations

import json
from pathlib import Path

from motionkit import __version__, registry
from motionkit.errors import UserError

HELP = """usage: motionkit cite METHOD [METHOD ...]
       motionkit cite --run runs/transfer/.../manifest.json

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
    if not argv:
        raise UserError("cite needs the name of a method, or --run manifest.json")
    if argv[0].partition("=")[0] == "--run":
        path = argv[0].partition("=")[2] or (argv[1] if len(argv) > 1 else "")
        entries = from_manifest(Path(path)) if path else []
        if not path:
            raise UserError("--run needs the manifest.json of a run")
    else:
        entries = [registry.spec(name).citation for name in argv]
    print("\n\n".join(dict.fromkeys([*(entry.strip() for entry in entries if entry.strip()), OWN])))
    return 0


def from_manifest(path: Path) -> list[str]:
    """The citations in a run's manifest; a run folder will do as well.

    Raises:
        UserError: there is no manifest, or it is not one of a run.
    """
    path = path / "manifest.json" if path.is_dir() else path
    try:
        return [json.loads(path.read_text(encoding="utf-8"))["method"]["citation"]]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the manifest of a run") from error
