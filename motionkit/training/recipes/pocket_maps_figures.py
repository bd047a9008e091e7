"""Measures the pocket maps on held-out sprite clips whose masks, depth and correspondence are known exactly.

`python -m motionkit.training.recipes.pocket_maps_figures` prints the shipped network's figures with bootstrap bounds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from motionkit.errors import in_one_line
from motionkit.metrics import bootstrap_interval
from motionkit.perception.pocket_maps import PARTS, MapsNet, PocketMaps, PocketReading, match, weights_path
from motionkit.sprites import BIPEDS, HELD_OUT_KINDS, LETTERS, QUADRUPEDS, TRAIN_KINDS, SpriteClip, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion

GROUPS: dict[str, tuple[str, Sequence[str]]] = {  # group: setting, kinds; all characters are of the test split
    "easy": ("easy", TRAIN_KINDS),
    "full": ("full", TRAIN_KINDS),
    "new_kinds": ("easy", HELD_OUT_KINDS),
    "sheets": ("easy", (*LETTERS, "flag", "flag")),
    "wild": ("wild", QUADRUPEDS + BIPEDS),
    "foreign": ("foreign", QUADRUPEDS + BIPEDS),  # a style that no training sees
}
FIGURES = {
    "iou": "intersection over union of the mask",
    "part": "share of the subject's pixels whose bone is right",
    "order": "share of pairs of bones at different depths whose order is right",
    "rank": "Spearman's rank correlation of the bones' depths",
    "error_px": "mean distance to the true place in frame 0, pixels of 128, where that is visible",
    "median_px": "the same, median",
    "within_6px": "share within 6 pixels",
    "left_px": "mean distance when no pixel is taken to move",
    "plain_px": "mean distance from the predicted places alone, without rigid parts or nearness",
    "codes_px": "mean distance when the true codes are matched: the best that codes can give",
    "found": "share of those pixels that the mask has found",
}
LEAST_PIXELS = 8  # of a bone in a frame, to speak of its depth


def clip_of(group: str, index: int, frames: int = 8) -> SpriteClip:
    """Clip `index` of a group: a character of the test split in any motion, those held out from training too."""
    setting, kinds = GROUPS[group]
    rng = rng_of("pocket maps figures", group, index)
    return render_clip(random_character(rng, "test", setting, kinds), random_motion(rng, "test"), frames)


def measure(reading: PocketReading, clip: SpriteClip) -> dict[str, float]:
    """All results of one clip, without those that it does not have (a letter has a single depth)."""
    seen = reading.mask > 0.5
    out = {
        "iou": float(((seen & clip.mask).sum((1, 2)) / (seen | clip.mask).sum((1, 2)).clip(1)).mean()),
        "part": float((reading.part == clip.parts)[clip.mask].mean()),
    }
    return out | depth_figures(reading, clip) | place_figures(reading, clip)


def depth_figures(reading: PocketReading, clip: SpriteClip) -> dict[str, float]:
    """Order and rank correlation of the bones' depths in each frame, the mean over frames."""
    right, ranks = [], []
    for f, codes in enumerate(clip.parts):
        bones = [b for b in range(PARTS) if (codes == b).sum() >= LEAST_PIXELS]
        true = np.array([clip.depth[f][codes == b].mean() for b in bones]).round(5)  # equal depths are ties
        said = np.array([reading.depth[f][codes == b].mean() for b in bones]).round(5)
        i, j = np.triu_indices(len(bones), 1)
        apart = np.abs(true[i] - true[j]) > 1e-4
        if apart.any():
            right.append(float((np.sign(said[i] - said[j]) == np.sign(true[i] - true[j]))[apart].mean()))
            ranks.append(rank_correlation(said, true))
    return {"order": float(np.mean(right)), "rank": float(np.mean(ranks))} if right else {}


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's: the correlation of ranks, ties sharing their mean rank; 0 where either is constant."""
    ranks = [((v[:, None] > v).sum(1) + (v[:, None] >= v).sum(1)) / 2.0 for v in (a, b)]
    if min(r.std() for r in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def place_figures(reading: PocketReading, clip: SpriteClip) -> dict[str, float]:
    """Distance of matched to true places in frame 0, over the subject's pixels of the later frames that it shows."""
    if not (reading.part[0] >= 0).any():
        return {"found": 0.0}
    said, places_only = match(reading), match(reading, near=0, rigid=False)
    codes = clip.correspondence
    ideal = match(PocketReading(clip.mask.astype(np.float32), clip.depth, clip.parts, codes[..., 1:]))
    grid = np.stack(np.meshgrid(np.arange(clip.size), np.arange(clip.size)), -1)  # (H, W, 2)
    wrong, bare, stay, least, found = [], [], [], [], []
    for f in range(1, len(clip.frames)):
        places, valid = clip.flow(f, 0)
        use = valid & clip.mask[f]
        both = use & np.isfinite(said[f, ..., 0])
        found.append(float(both.sum() / max(use.sum(), 1)))
        wrong.append(np.linalg.norm(said[f][both] - places[both], axis=-1))
        bare.append(np.linalg.norm(places_only[f][both] - places[both], axis=-1))
        stay.append(np.linalg.norm(grid[both] - places[both], axis=-1))
        least.append(np.linalg.norm(ideal[f][use] - places[use], axis=-1))
    error = np.concatenate(wrong)
    if not len(error):
        return {"found": 0.0}
    return {
        "error_px": float(error.mean()),
        "median_px": float(np.median(error)),
        "found": float(np.mean(found)),
        "within_6px": float((error < 6).mean()),
        "left_px": float(np.concatenate(stay).mean()),
        "plain_px": float(np.concatenate(bare).mean()),
        "codes_px": float(np.concatenate(least).mean()),
    }


def collect(maps: PocketMaps, count: int, frames: int = 8) -> dict[str, dict[str, list[float]]]:
    """Group -> result -> one value for each clip that has it."""
    out: dict[str, dict[str, list[float]]] = {}
    for group in GROUPS:
        values: dict[str, list[float]] = out.setdefault(group, {name: [] for name in FIGURES})
        for index in range(count):
            clip = clip_of(group, index, frames)
            for name, value in measure(maps.maps(clip.frames), clip).items():
                values[name].append(value)
    return out


def evaluate(net: MapsNet, count: int = 40, frames: int = 8) -> dict[str, float]:
    """Means of every figure of every group, as `group_figure`, and n, the clips of each group."""
    collected = collect(PocketMaps(net, {}), count, frames)
    means = {f"{g}_{name}": float(np.mean(v)) for g, named in collected.items() for name, v in named.items() if v}
    return {**{k: round(v, 4) for k, v in means.items()}, "n": count}


def main(argv: list[str] | None = None) -> dict:
    """Command line: a table of the network's figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=40, help="of each group")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=weights_path())
    args = parser.parse_args(argv)
    collected = collect(PocketMaps.load(args.weights), args.clips, args.frames)
    summary: dict = {"n": args.clips, "frames": args.frames}
    for name, meaning in FIGURES.items():
        print(f"\n{name}: {meaning}")
        for group, named in collected.items():
            if named[name]:
                summary[f"{group}_{name}"] = [round(v, 4) for v in bootstrap_interval(named[name])]
                mean, low, high = summary[f"{group}_{name}"]
                print(f"  {group:10s} n={len(named[name]):3d}  {mean:8.3f}  [{low:.3f}, {high:.3f}]")
    print(json.dumps(summary))
    return summary


if __name__ == "__main__":
    in_one_line(main)
