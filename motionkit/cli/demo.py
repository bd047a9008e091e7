"""The demo: the shipped example through every method, on the embedded weights (`make demo`)."""

from __future__ import annotations

import sys
from pathlib import Path

from motionkit.cli import main as command_line
from motionkit.weights.places import PACKAGE

EXAMPLE = PACKAGE / "example"


def main() -> int:
    """Run `motionkit compare` on the example clips and say where the results are; returns the exit code."""
    folder = Path("runs") / "demo"
    code = command_line(
        [
            "compare",
            "methods=[still,warp,anamodiff,flipsketch,vidmp3,animatex]",
            f"reference={EXAMPLE / 'source.mp4'}",
            f"driving={EXAMPLE / 'driving.mp4'}",
            f"truth={EXAMPLE / 'truth.mp4'}",
            "prompt=orange giraffe running",
            "source_prompt=a purple cat running",
            f"output={folder}",
            *sys.argv[1:],
        ]
    )
    if code == 0:
        print(f"open {folder / 'report.html'} in a browser; the videos are in the same folder")
    return code


if __name__ == "__main__":
    sys.exit(main())
