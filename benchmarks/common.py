"""What the quality benchmarks have in common: finished cells on disk, intervals, paired differences, subject masks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motionkit.metrics import bootstrap_interval, t_interval

LEAST = 5  # pairs for a paired difference to show anything


class Cells:
    """Finished clips by a key of everything that decides them: cells.jsonl, and one npz for each clip."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "cells.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, dict] = {}
        self.used: dict[tuple[str, int], np.ndarray] = {}  # (variant, index): the clips of this table
        if self.path.is_file():
            for line in self.path.read_text().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:  # a line that a stop cut off
                    continue
                self.rows[row["key"]] = row

    def get(self, key: str) -> tuple[np.ndarray, dict] | None:
        """The clip (F, H, W, 3) uint8 and its row, or None."""
        path = self.folder / f"{key}.npz"
        if key not in self.rows or not path.is_file():
            return None
        return np.load(path, allow_pickle=False)["video"], self.rows[key]

    def put(self, key: str, video: np.ndarray, row: dict) -> None:
        """Keep a clip; the line is written last, so that a stop leaves no half cell."""
        part = self.folder / f"{key}.part.npz"
        np.savez_compressed(part, video=video)
        part.replace(self.folder / f"{key}.npz")
        self.rows[key] = {"key": key, **row}
        cut = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")  # by a stop
        with self.path.open("a") as out:
            out.write("\n" * cut + json.dumps(self.rows[key]) + "\n")


def merged(one: dict, two: dict) -> dict:
    """Two nested settings as one; the second counts where both speak."""
    inner = {k: merged(one[k], v) for k, v in two.items() if isinstance(v, dict) and isinstance(one.get(k), dict)}
    return one | two | inner


def interval(values: Iterable[float], digits: int = 4) -> list[float]:
    """Mean and 95 % bootstrap interval, rounded."""
    return [round(float(v), digits) for v in bootstrap_interval([float(v) for v in values])]


def direction(rows: dict, figure: str, variant: str, against: str, sign: int, claim: str) -> dict | None:
    """Prints and returns the paired difference on what both variants ran on; None when that is nothing.

    "seen" when its 95 % interval (Student's t: few pairs) is on the claim's side. Fewer than LEAST pairs show nothing:
    their verdict is "too few".
    """
    both = sorted(set(rows.get(variant, {})) & set(rows.get(against, {})))
    if not both:
        return None
    differences = [rows[variant][i][figure] - rows[against][i][figure] for i in both]
    mean, low, high = t_interval(differences)  # the sign is judged before rounding
    difference = [round(v, 4) if np.isfinite(v) else None for v in (mean, low, high)]  # one pair has no interval
    side = "seen" if (low > 0 if sign > 0 else high < 0) else "in direction" if mean * sign > 0 else "not seen"
    side = side if len(both) >= LEAST else "too few"
    print(f"\n{claim}: {figure} {variant} - {against} = {mean:+.3f} [{low:+.3f}, {high:+.3f}], n={len(both)}: {side}")
    return {
        "claim": claim,
        "figure": figure,
        "against": against,
        "difference": difference,
        "n": len(both),
        "verdict": side,
    }


def grown(mask: np.ndarray, by: int = 2) -> np.ndarray:
    """Masks (F, H, W) with what lies `by` pixels up, down, left and right of them."""
    out = mask.copy()
    for axis in (1, 2):
        out |= np.roll(mask, by, axis) | np.roll(mask, -by, axis)
    return out


@torch.no_grad()
def through_autoencoder(backbone: Any, frames: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 encoded and decoded: no method on that backbone can be nearer to them."""
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)
    y = backbone.decode(backbone.encode(x))
    return (y.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()  # (F, H, W, 3)
