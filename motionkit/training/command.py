"""What the commands of the recipes share: their options and the record of a finished training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch


def arguments(description: str, folder: str, steps: int, lr: float) -> argparse.ArgumentParser:
    """The options that every trainer shares."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--folder", type=Path, default=Path(folder), help="checkpoints and curve (resumed when present)"
    )
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--out", type=Path, default=None, help="where the finished weights go (default: the package's assets)"
    )
    return parser


def write_record(path: Path, record: dict) -> None:
    """Write a training record (recipe and measured results) as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
