"""Measures how well a body is found in three styles: `easy` and `wild` as trained, and the unseen `foreign`.

    python -m motionkit.training.recipes.pocket_pose_figures [--weights FILE] [--clips 24]

All characters are of the test split, held-out kinds and motions among them. Without `--weights` it measures the network
behind the pocket poses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from motionkit.errors import in_one_line
from motionkit.metrics import bootstrap_interval
from motionkit.perception.pose.body_net import BodyNet, load, weights_path
from motionkit.perception.pose.find_body import find
from motionkit.sprites import LETTERS, SpriteClip, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion

STYLES = ("easy", "wild", "foreign")
FRAMES = 6
Finder = Callable[[np.ndarray], np.ndarray]  # frames (F, H, W, 3) to OpenPose joints (F, 18, 2), NaN without a body


def clip_of(style: str, index: int, body: bool = True) -> SpriteClip:
    """Clip `index` of a style: a character of the test split in any motion; a letter where `body` is False."""
    rng = rng_of("pocket pose figures", style, index, body)
    who = random_character(rng, "test", style, None if body else LETTERS)
    return render_clip(who, random_motion(rng, "test"), FRAMES)


def measure(finder: Finder, count: int = 24) -> dict[str, dict[str, list[float]]]:
    """Style -> figure -> one value a clip.

    `found` is 1 where at least half of the frames show a body; `px` the mean distance of the joints (pixels of 128) in
    all frames that show one, `pck` the share within 6; `letters_found` is `found` where there is no body.
    """
    out: dict[str, dict[str, list[float]]] = {}
    for style in STYLES:
        values: dict[str, list[float]] = out.setdefault(style, {"found": [], "px": [], "pck": [], "letters_found": []})
        for index in range(count):
            clip = clip_of(style, index)
            joints = finder(clip.frames)
            there = np.isfinite(joints).all((1, 2))
            values["found"].append(float(there.mean() >= 0.5))
            if there.any():
                error = np.linalg.norm(joints - clip.openpose, axis=-1)[there]
                values["px"].append(float(error.mean()))
                values["pck"].append(float((error < 6).mean()))
        for index in range(count // 2):
            joints = finder(clip_of(style, index, False).frames)
            values["letters_found"].append(float(np.isfinite(joints).all((1, 2)).mean() >= 0.5))
    return out


def evaluate(net: BodyNet, count: int = 60) -> dict[str, float]:
    """Means of every figure, as `style_figure`, and n, the clips of each style."""
    measured = measure(lambda frames: find(frames, net).openpose(), count)
    means = {f"{s}_{name}": float(np.mean(v)) for s, named in measured.items() for name, v in named.items() if v}
    return {**{k: round(v, 4) for k, v in means.items()}, "n": count}


def main(argv: list[str] | None = None) -> dict:
    """Command line: a table with bootstrap intervals; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="of each style")
    parser.add_argument("--weights", type=Path, default=weights_path())
    args = parser.parse_args(argv)
    net, _ = load(args.weights)
    measured = measure(lambda frames: find(frames, net).openpose(), args.clips)
    summary: dict = {"n": args.clips}
    for style, named in measured.items():
        for name, values in named.items():
            if values:
                summary[f"{style}_{name}"] = [round(v, 4) for v in bootstrap_interval(values)]
                mean, low, high = summary[f"{style}_{name}"]
                print(f"{style:8s} {name:14s} n={len(values):3d}  {mean:7.3f}  [{low:.3f}, {high:.3f}]")
    print(json.dumps(summary))
    return summary


if __name__ == "__main__":
    in_one_line(main)
