"""The curve of a training: a CSV of mean values, one line every so many steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from motionkit.media import replacing


def add_line(path: Path, step: int, seconds: float, values: Mapping[str, float]) -> None:
    """Add a line; the first one also writes the column names."""
    if not path.exists():
        path.write_text("step,seconds," + ",".join(values) + "\n")
    with path.open("a") as out:
        out.write(f"{step},{seconds:.0f}," + ",".join(f"{v:.5f}" for v in values.values()) + "\n")


def trim(path: Path, step: int) -> None:
    """Remove lines of later steps, left by a run that was killed after its last checkpoint."""
    if not path.is_file():
        return
    head, *lines = path.read_text().splitlines() or [""]
    kept = [line for line in lines if int(line.split(",")[0]) <= step]
    if len(kept) < len(lines):
        with replacing(path) as part:
            part.write_text("\n".join([head, *kept]) + "\n")
