"""Quality of Animate-X on held-out sprites against the known truth, self-driven and driven by another body.

    python benchmarks/quality_animatex.py --pairs 32 --seed 0 [--models runs/train/animatex-ablations] [--sheet PNG]

self: a character that no training step showed; the reference is the first frame of its clip, the clip drives it and is
the truth. cross: the driving clip shows another kind of the same family under that motion, with a body of other
proportions; the reference is the character at another moment of its own, and the truth is the character under the
driving motion. Half of the pairs are four-legged, half two-legged; held-out kinds and motions take part.
Rows: `still` (the reference repeated), `copy` (the driving clip itself), `bound` (the truth through the model's
autoencoder), `animatex`, `no-align` (the same without alignment), and of each folder in --models named in ABLATIONS
the small model that `make train-animatex-ablations` trained there (the paper's table 4), all without alignment.
Every finished cell is a line of cells.jsonl in --folder and is not run again: stop and go on as you like.
The table gives n, mean and a 95 % bootstrap interval; the last line is one JSON object. gap_closed is
(animatex - still) / (bound - still) in mean PSNR of whole frames over all pairs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from common import LEAST, Cells, grown, interval, through_autoencoder

from motionkit.backbones import catalog, load
from motionkit.errors import UserError
from motionkit.media import from_frames, write_image
from motionkit.media.framing import resize
from motionkit.metrics import keypoint_error, l1, masked_psnr, psnr, ssim
from motionkit.metrics.pose import estimate, stated_error
from motionkit.running.execute import execute
from motionkit.settings.gpu import Plan
from motionkit.sprites import SpriteClip
from motionkit.table.bench.generators import SIZE, Pair, make_pair
from motionkit.transfer import Inputs
from motionkit.weights import places
from motionkit.weights.hashing import hash_json, hash_path

SETS = ("self", "cross")
LENDERS = {
    "pocket-animatex": ("pocket-modelscope", "pocket-sd"),
    "pocket-animatex-mamba": ("pocket-animatex", "pocket-modelscope", "pocket-sd"),
}
FLOORS = ("still", "copy", "bound")
UNALIGNED: dict = {"align": "none"}
MAIN: dict[str, dict] = {"animatex": {}, "no-align": UNALIGNED}
# Names of model folders, and what their rows set: all see the poses as they are, as the paper's table does.
ABLATIONS: dict[str, dict] = {
    "full": UNALIGNED,
    "no-ipi": UNALIGNED | {"indicator": False},
    "no-epi": UNALIGNED,
    "no-realign": UNALIGNED,
    "no-rescale": UNALIGNED,
}
FIGURES = {
    "psnr": "dB, whole frames",
    "psnr_subject": "dB, on the true subject, a little grown",
    "ssim": "whole frames",
    "l1": "whole frames, 0 to 1",
    "keypoints": "px at 128, mean error of the estimated points",
    "seconds": "processor seconds for the clip",
}


def weights_hash(backbone: str, path: str | None) -> str:
    """Changes with the weights of the model, of those that lend to it, and of the pose estimator."""
    asset = catalog.get(backbone).asset
    folders = [Path(path)] if path else [places.assets() / n for n in (asset, *LENDERS.get(asset, ()))] if asset else []
    estimators = [places.assets() / "perception" / f"{name}.safetensors" for name in ("pocket_points", "joints")]
    return hash_json([hash_path(p) for p in [*folders, *estimators] if p.exists()])


def run_cell(cells: Cells, row: str, pair: Pair, args: argparse.Namespace) -> tuple[np.ndarray, float]:
    """The clip that one row makes of one pair, at the truth's size, and its seconds."""
    if row == "still":
        return np.repeat(pair.reference[None], len(pair.driving), 0), 0.0
    if row == "copy":
        return pair.driving, 0.0
    path = str(args.models / row / "model") if row in ABLATIONS else args.path
    config = json.loads(args.config) | (MAIN | ABLATIONS).get(row, {})
    how = [row, config, args.backbone, args.size, args.frames, args.seed, args.dtype, weights_hash(args.backbone, path)]
    key = hash_json([how, pair.name, pair.truth.character.key])[:16]
    kept = cells.get(key)
    if kept is None:
        begun = time.process_time()
        video = bound(pair, args) if row == "bound" else made(pair, config, path, args)
        seconds = round(time.process_time() - begun, 2)
        cells.put(key, video, {"row": row, "pair": pair.name, "seconds": seconds, "config": config})
    else:
        video, seconds = kept[0], kept[1]["seconds"]
    return np.stack([resize(frame, SIZE, SIZE) for frame in video]), seconds


def made(pair: Pair, config: dict, path: str | None, args: argparse.Namespace) -> np.ndarray:
    """What the method makes of the pair."""
    inputs = Inputs(
        reference=from_frames(pair.reference[None], 8.0, "reference", True),
        driving=from_frames(pair.driving, 8.0, "driving"),
    )
    return execute(
        "animatex",
        inputs,
        config=config,
        backbone=args.backbone,
        backbone_path=path,
        seed=args.seed,
        gpu={"name": "cpu", "dtype": args.dtype},
        frames=args.frames,
        size=args.size,
        use_cache=False,
    ).frames


def bound(pair: Pair, args: argparse.Namespace) -> np.ndarray:
    """The truth through the model's autoencoder: no method on it can be better."""
    backbone = load(args.backbone, Plan(), path=args.path)
    side = args.size or catalog.get(args.backbone).default_size
    frames = np.stack([resize(frame, side, side) for frame in pair.truth.frames])
    return through_autoencoder(backbone, frames)


def measure(video: np.ndarray, truth: SpriteClip) -> dict[str, float]:
    """Every figure but the seconds."""
    return {
        "psnr": psnr(video, truth.frames),
        "psnr_subject": masked_psnr(video, truth.frames, grown(truth.mask)),
        "ssim": ssim(video, truth.frames),
        "l1": l1(video, truth.frames),
        "keypoints": keypoint_error(estimate(video)[..., :2], truth.keypoints),
    }


Rows = dict[str, dict[str, dict[str, float]]]  # row -> pair -> figures


def table(rows: Rows) -> dict:
    """Prints mean, interval and n of every figure in each set; returns them."""
    summary: dict = {}
    for which in SETS:
        for figure, meaning in FIGURES.items():
            print(f"\n{which}, {figure}: {meaning}")
            for row, cells in rows.items():
                values = [cell[figure] for name, cell in cells.items() if name.startswith(which)]
                if values:
                    mean, low, high = interval(values)
                    summary.setdefault(which, {}).setdefault(figure, {})[row] = [mean, low, high]
                    print(f"  {row:12s} n={len(values):3d}  {mean:8.3f}  [{low:.3f}, {high:.3f}]")
    return summary


def gap_closed(rows: Rows, figure: str = "psnr", which: str = "") -> float | None:
    """(animatex - still) / (bound - still) of the means over the pairs of a set; "" is all of them."""
    means = {}
    for row in ("animatex", "still", "bound"):
        values = [cell[figure] for name, cell in rows.get(row, {}).items() if name.startswith(which)]
        if not values:
            return None
        means[row] = float(np.mean(values))
    return round((means["animatex"] - means["still"]) / (means["bound"] - means["still"]), 4)


def directions(rows: Rows) -> list[dict]:
    """Paired differences of each ablation to `full`, in the direction of the paper: leaving a part out costs."""
    found = []
    for name in ABLATIONS:
        for which in SETS:
            both = [p for p in rows.get("full", {}) if p in rows.get(name, {}) and p.startswith(which)]
            if name == "full" or not both:
                continue
            mean, low, high = interval([rows["full"][p]["psnr"] - rows[name][p]["psnr"] for p in both])
            side = "seen" if low > 0 else "in direction" if mean > 0 else "not seen"
            side = side if len(both) >= LEAST else "too few"
            print(f"\n{which}: full - {name} = {mean:+.3f} dB [{low:+.3f}, {high:+.3f}], n={len(both)}: {side}")
            found.append({"without": name, "set": which, "psnr": [mean, low, high], "n": len(both), "verdict": side})
    return found


def sheet(path: Path, cells: Cells, pairs: list[Pair], rows: list[str], args: argparse.Namespace) -> None:
    """For each pair a line: reference, then every other frame of the driving, of the rows, and of the truth."""
    lines = []
    for pair in pairs:
        clips = [pair.driving, *(run_cell(cells, row, pair, args)[0] for row in rows), pair.truth.frames]
        lines.append(np.concatenate([pair.reference, *(f for clip in clips for f in clip[::3])], 1))
    write_image(path, np.concatenate(lines, 0))


def chosen(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The main rows and the ablations whose models are there. Raises: UserError for a name that is no row."""
    known = [*FLOORS, *MAIN, *ABLATIONS]
    names = args.rows.split(",") if args.rows else known
    if wrong := [n for n in names if n not in known]:
        raise UserError(f"no row {wrong[0]!r}; known: {', '.join(known)}")
    there = [n for n in ABLATIONS if args.models and (args.models / n / "model").is_dir()]
    return [n for n in names if n not in ABLATIONS], [n for n in names if n in there]


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=32, help="of each of the two sets")
    parser.add_argument("--ablations", type=int, default=32, help="how many of them the ablations run on")
    parser.add_argument("--rows", default="", help="comma-separated rows (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--backbone", default="pocket-animatex")
    parser.add_argument("--path", default=None, help="a folder with the backbone's weights (default: the shipped ones)")
    parser.add_argument("--models", type=Path, default=None, help="folder of ablated models: NAME/model")
    parser.add_argument("--size", type=int, default=None, help="side in pixels (default: the backbone's)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--config", default="{}", help="JSON: settings of the method for every row")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench/animatex"))
    parser.add_argument("--sheet", type=Path, default=None)
    args = parser.parse_args(argv)
    names, ablations = chosen(args)
    cells, rows = Cells(args.folder), dict[str, dict[str, dict[str, float]]]()
    pairs = [make_pair(which, i, args.seed, args.frames) for i in range(args.pairs) for which in SETS]
    for number, pair in enumerate(pairs):
        for row in [*names, *(ablations if number < 2 * args.ablations else [])]:
            video, seconds = run_cell(cells, row, pair, args)
            rows.setdefault(row, {})[pair.name] = measure(video, pair.truth) | {"seconds": seconds}
        shown = {row: round(rows[row][pair.name]["psnr"], 1) for row in rows if pair.name in rows[row]}
        print(f"{number + 1}/{len(pairs)} {pair.name} {pair.truth.character.kind}: PSNR {shown}", flush=True)
    summary = table(rows) | {"directions": directions(rows)}
    if args.sheet:
        sheet(args.sheet, cells, pairs[:8], [n for n in names if n in MAIN], args)
    own = {name: round(value, 4) for name, value in stated_error().items()}
    print(f"\nthe pose estimator's own error on held-out characters: {own}")
    out = {
        "n": args.pairs,
        "backbone": args.backbone,
        "gap_closed": gap_closed(rows),
        "gap_closed_self": gap_closed(rows, which="self"),
        "gap_closed_cross": gap_closed(rows, which="cross"),
        "gap_closed_subject": gap_closed(rows, "psnr_subject"),
        **summary,
        "pose_error": own,
    }
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    main()
