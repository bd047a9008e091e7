"""Puts the finished set in the place of the shipped weights: `python -m motionkit.training.recipes.switch`.

Nothing is committed: git keeps the current weights. What follows belongs in the same commit: settings that a method
tunes for the pocket backbones, chosen anew on cases that no table counts; `python -m tests.identity.record pocket`;
`make figures` and the words around the figures; the set's folder, but for its records, goes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from motionkit.errors import UserError, in_one_line
from motionkit.training.recipes.assembled import assemble, shrink
from motionkit.training.recipes.queue import is_finished
from motionkit.training.recipes.stage import SET
from motionkit.training.recipes.stages import STAGES
from motionkit.weights import places

LIMIT = 60e6  # bytes of all weights
WEIGHTS = {".safetensors", ".pt"}


def lacking(made: Path, package: Path) -> list[str]:
    """Files of weights that are shipped now but missing in the assembled folder, as paths within it."""
    return sorted(
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.suffix in WEIGHTS and not (made / path.relative_to(package)).exists()
    )


def size_of(folder: Path) -> int:
    """Bytes of the weights in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in WEIGHTS)


def check(chosen: Path, made: Path, package: Path, without: tuple[str, ...] = ()) -> None:
    """Refuse a set that is incomplete or too large.

    Args:
        without: stages and files that may be missing, by name.

    Raises:
        UserError: naming what is missing.
    """
    stages = [s.name for s in STAGES if not is_finished(s, chosen) and s.name not in without]
    if stages:
        raise UserError(f"not finished: {', '.join(stages)} (resume with make train-pocket, or name them in --without)")
    if files := [name for name in lacking(made, package) if name not in without]:
        raise UserError(
            f"{chosen} lacks files that are shipped now: {', '.join(files)} (add them, or name them in --without)"
        )
    if (size := size_of(made)) > LIMIT:
        raise UserError(f"the set holds {size / 1e6:.1f} MB of weights, more than {LIMIT / 1e6:.0f} MB")


def replace(made: Path, package: Path, version: str) -> None:
    """Put the assembled folder, which includes the package's files that stay, in the package's place."""
    for old in list(package.iterdir()):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(made, package, dirs_exist_ok=True)
    (package / places.VERSION).write_text(version + "\n")


def main() -> None:
    """Command line: checks the set and puts it in place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, default=SET)
    parser.add_argument("--version", default="2", help="name of these weights in catalogue, manifests and results")
    parser.add_argument("--without", nargs="+", default=[], help="stages and files that may be missing")
    parser.add_argument("--check", action="store_true", help="only report what is missing")
    args = parser.parse_args()
    made = assemble(args.set, Path("runs/pocket/assets"))
    shrink(made)
    check(args.set, made, places.PACKAGE, tuple(args.without))
    print(f"the set is complete: {size_of(made) / 1e6:.1f} MB")
    if args.check:
        return
    replace(made, places.PACKAGE, args.version)
    print(f"version {args.version} is in {places.PACKAGE}; this module's first lines say what follows")


if __name__ == "__main__":
    in_one_line(main)
