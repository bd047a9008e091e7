"""Measures how well poses are fitted to another body: `python benchmarks/pose_fitting.py [--pairs 48]`.

The pairs are those of the protocol `pose-cross`: the driving poses are estimated, fitted to the reference's estimated
pose, and held against the joints that the reference's character truly has under that motion. No video is made.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from motionkit.errors import in_one_line
from motionkit.metrics import bootstrap_interval
from motionkit.perception.pose import PoseClip, PoseSettings, align, read_poses
from motionkit.table.bench.generators import SIZE, Pair, make_pair

MODES = ("none", "safe")


def joints(frames: np.ndarray) -> PoseClip:
    """The body in frames (F, H, W, 3) uint8, as the pocket estimator finds it."""
    return read_poses(frames, PoseSettings(), pocket=True, required=False)


def away(pair: Pair, poses: PoseClip) -> float | None:
    """Mean distance of all joints from the true ones, pixels; None where no frame has a body."""
    error = np.linalg.norm(poses.points * SIZE - pair.truth.openpose, axis=-1)  # (F, 18)
    return float(np.nanmean(error)) if np.isfinite(error).any() else None


def measure(pairs: int, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Row -> motion -> a figure for each pair in which both bodies are found."""
    out: dict[str, dict[str, list[float]]] = {row: {} for row in ("estimated truth", "reference stands still", *MODES)}
    for index in range(pairs):
        pair = make_pair("cross", index, seed)
        driving, reference = joints(pair.driving), joints(pair.reference[None])
        if driving.empty.all() or reference.empty.all():
            continue
        still = reference.frames([0] * len(pair.truth.frames))
        rows = {"estimated truth": joints(pair.truth.frames), "reference stands still": still}
        rows |= {mode: align(driving, reference, mode)[0] for mode in MODES}
        for row, poses in rows.items():
            if (error := away(pair, poses)) is not None:
                out[row].setdefault(pair.truth.motion.name, []).append(error)
    return out


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Command line: a table; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=48)
    args = parser.parse_args(argv)
    if args.pairs < 1:
        raise SystemExit(f"--pairs {args.pairs}: give at least 1")
    found: dict[str, dict[str, float]] = {}
    for row, motions in measure(args.pairs).items():
        every = [e for errors in motions.values() for e in errors]
        mean, low, high = bootstrap_interval(every)
        print(f"{row:24} n={len(every):3}  {mean:5.1f} px [{low:.1f}, {high:.1f}], median {np.median(every):.1f}")
        print("   ", ", ".join(f"{name} {np.mean(errors):.1f}" for name, errors in sorted(motions.items())))
        found[row] = {"mean": round(mean, 2), "median": round(float(np.median(every)), 2), "n": len(every)}
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    in_one_line(main)
