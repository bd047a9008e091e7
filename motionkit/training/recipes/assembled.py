"""A preview of the next set as shipped: the package's weights folder with the set's files in place of its own.

With MOTIONKIT_ASSETS set to it every command, such as `motionkit train`, uses the new weights. Weights that the set
lacks and the package has for other latents are left out, so that nothing old is mixed in unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from motionkit.training.recipes.stage import SET
from motionkit.weights import places

# Weights of the package that do not depend on latents: used where the set has none of its own.
FREE = ("anamodiff/keypoints.safetensors", "example", "judges", "new_method", "perception", "published")
NOT_SHIPPED = ("records", "pose-image", "verb-critic", "ablations")  # of the set, what is for training alone


def assemble(chosen: Path, folder: Path, package: Path | None = None) -> Path:
    """Fill `folder` with links to the files of both (copies where links are impossible); returns it.

    Args:
        chosen: the set.  package: the shipped weights; None: the package's own.
    """
    shutil.rmtree(folder, ignore_errors=True)
    package = package or places.PACKAGE
    for name in FREE:
        _put(package / name, folder / name)
    for entry in sorted(chosen.iterdir()):
        if entry.name not in NOT_SHIPPED and entry.suffix != ".md":
            _put(entry, folder / entry.name)
    return folder


def _put(source: Path, target: Path) -> None:
    """Link a file, or every file below a folder, over existing ones."""
    if source.is_dir():
        for entry in source.iterdir():
            _put(entry, target / entry.name)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)


def main() -> None:
    """Command line: assembles the set in a folder, whose path it prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, default=SET)
    parser.add_argument("--out", type=Path, default=Path("runs/pocket/assets"))
    args = parser.parse_args()
    print(assemble(args.set, args.out).resolve())


if __name__ == "__main__":
    main()
