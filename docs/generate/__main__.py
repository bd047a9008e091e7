"""Builds the docs site: `make docs`, or `python -m docs.generate [FOLDER]`; nothing is downloaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from docs.generate.stage import ROOT, stage


def main() -> int:
    """Writes the pages to FOLDER/pages and the site to FOLDER/site (default build/docs); returns the exit code."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    config = stage(folder)
    shutil.rmtree(folder / "site", ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(config)]
    code = subprocess.run(command).returncode
    if code == 0:
        print(f"open {folder / 'site' / 'index.html'} in a browser")
    return code


if __name__ == "__main__":
    sys.exit(main())
