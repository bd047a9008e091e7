"""Quality of FlipSketch on held-out sprite drawings whose true motion is known, with the paper's ablations.

    python benchmarks/quality_flipsketch.py --pairs 24 --ablations 12 --seed 0 [--variants best,no-align] [--sheet PNG]

A sketch is the first frame, as a line drawing, of a clip of a character that no training step showed; the prompt names
its kind and motion ("a drawing of a horse walking"). The clip itself is the truth and an upper bound of the motion;
`still`, the sketch repeated, is the upper bound of the consistency and the floor of the motion.
The rulers are the sprite clip judge's (CLIP's and X-CLIP's beside them when their weights are on this machine); its
own accuracy is printed. Every finished cell is a line of cells.jsonl in --folder and is not run again: stop and go on
as you like. The table gives n, mean and a 95 % bootstrap interval; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from common import Cells, direction, interval, merged

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.media import from_frames, write_image
from motionkit.media.framing import resize
from motionkit.metrics import clipscorer, ink_overlap, motion_amount, text_image
from motionkit.running.execute import execute
from motionkit.table.bench.generators import Sketch, make_sketch
from motionkit.transfer import Inputs
from motionkit.weights import places
from motionkit.weights.hashing import hash_json, hash_path

EARLY = 4  # frames 1 to 3 are the early ones
NO_ALIGN: dict = {"align": {"enabled": False}}
# What the table compares. Ablations of the composition run without alignment, against the row `no-align` on the same
# sketches: alignment costs most of the time and changes neither the composition nor lambda.
MAIN: dict[str, dict] = {"best": {}, "no-align": NO_ALIGN}
ABLATIONS: dict[str, dict] = {
    "no-composition": NO_ALIGN | {"compose": {"spatial": False, "temporal": False}},
    "lambda-0": NO_ALIGN | {"motion": 1.0},  # motion is 1 - lambda
    "lambda-1": NO_ALIGN | {"motion": 0.0},
    "no-spatial": NO_ALIGN | {"compose": {"spatial": False}},
    "no-temporal": NO_ALIGN | {"compose": {"temporal": False}},
}
BOUNDS = ("truth", "still")
FIGURES = {
    "consistency": "mean cosine of frames 1.. to the drawing",
    "consistency_early": "the same, frames 1 to 3 only",
    "motion_right": "share of clips in which the judge sees the motion that the prompt names",
    "motion_agreement": "probability that the judge gives to that motion",
    "kind_right": "share of clips in which the judge sees the kind that the prompt names",
    "motion_over_truth": "frame difference over the truth's",
    "path_over_truth": "joints' path over the truth's (flicker does not count)",
    "first_frame_ink": "F1 of the first frame's ink against the drawing",
    "clip": "CLIP cosine of frames 1.. to the drawing",
    "xclip": "X-CLIP cosine to the prompt",
    "seconds": "processor seconds for the clip, with the preparation where it was not cached (the first row's)",
}
DIRECTIONS = (  # figure, variant, against, wanted sign of the difference, what the paper says
    ("consistency", "no-composition", "no-align", -1, "no composition loses consistency"),
    ("consistency", "lambda-1", "lambda-0", 1, "a larger lambda raises consistency"),
    ("motion_over_truth", "lambda-1", "lambda-0", -1, "a larger lambda lowers motion"),
    ("consistency_early", "best", "no-align", 1, "alignment helps early frames"),
)


def weights_hash(backbone: str, path: str | None) -> str:
    """Changes when weights that the method uses change, so that cells are run again; not with the judges."""
    asset = catalog.get(backbone).asset
    folders = [Path(path)] if path else [places.assets() / asset, places.assets() / "pocket-sd"] if asset else []
    return hash_json([hash_path(p) for p in [*folders, places.assets() / "flipsketch"] if p.exists()])


def run_cell(cells: Cells, variant: str, sketch: Sketch, args: argparse.Namespace, weights: str) -> dict:
    """One variant on one sketch: its figures."""
    if variant in BOUNDS:
        still = np.repeat(sketch.drawing[None], len(sketch.truth), 0)  # (F, H, W, 3)
        return measure(sketch.truth if variant == "truth" else still, sketch) | {"seconds": 0.0}
    config = merged(json.loads(args.config), (MAIN | ABLATIONS)[variant])
    how = [registry.spec("flipsketch").version, config, args.backbone, args.size, args.frames, args.seed, args.dtype]
    key = hash_json([how, weights, sketch.prompt, sketch.clip.character.key])[:16]
    kept = cells.get(key)
    if kept is None:
        begun = time.process_time()
        result = execute(
            "flipsketch",
            Inputs(reference=from_frames(sketch.drawing[None], 8.0, "sketch"), prompt=sketch.prompt),
            config=config,
            backbone=args.backbone,
            backbone_path=args.path,
            seed=args.seed,
            gpu={"name": "cpu", "dtype": args.dtype},
            frames=args.frames,
            size=args.size,
        )
        row = {
            "variant": variant,
            "index": sketch.index,
            "seconds": round(time.process_time() - begun, 2),
            "prompt": sketch.prompt,
            "config": config,
        }
        cells.put(key, result.frames, row)
        kept = result.frames, row
    cells.used[variant, sketch.index] = kept[0]
    return measure(kept[0], sketch) | {"seconds": kept[1]["seconds"]}


def measure(video: np.ndarray, sketch: Sketch) -> dict[str, float]:
    """Every figure of a clip at the sketch's size."""
    video = as_large(video, sketch)
    verdict, truth = clipscorer.judge(video), sketch.clip
    out = {
        "consistency": clipscorer.reference_consistency(video, sketch.drawing),
        "consistency_early": clipscorer.reference_consistency(video, sketch.drawing, 1, EARLY),
        "motion_right": float(verdict.best("motion") == truth.motion.name),
        "motion_agreement": verdict.motion[truth.motion.name],
        "kind_right": float(verdict.best("kind") == truth.character.kind),
        "motion_over_truth": motion_amount(video) / motion_amount(sketch.truth),
        "path_over_truth": clipscorer.joint_path(video) / clipscorer.joint_path(sketch.truth),
        "first_frame_ink": ink_overlap(video[:1], sketch.drawing[None]),
    }
    if text_image.available("clip"):
        out["clip"] = text_image.clip_consistency(video, sketch.drawing)
    if text_image.available("xclip"):
        out["xclip"] = text_image.xclip_agreement(video, sketch.prompt)
    return out


def as_large(video: np.ndarray, sketch: Sketch) -> np.ndarray:
    """A clip at the drawing's size (F, H, W, 3)."""
    return np.stack([resize(frame, *sketch.drawing.shape[:2]) for frame in video])


def table(rows: dict[str, dict[int, dict[str, float]]]) -> dict:
    """Prints mean, interval and n of every figure, and the paired differences; returns them."""
    summary: dict = {}
    for figure, meaning in FIGURES.items():
        if not any(figure in cell for cells in rows.values() for cell in cells.values()):
            continue
        print(f"\n{figure}: {meaning}")
        summary[figure] = {}
        for variant, cells in rows.items():
            values = [cell[figure] for cell in cells.values() if figure in cell]
            if values:
                summary[figure][variant] = interval(values)
                mean, low, high = summary[figure][variant]
                print(f"  {variant:16s} n={len(values):3d}  {mean:8.3f}  [{low:.3f}, {high:.3f}]")
    summary["directions"] = [d for d in (direction(rows, *line) for line in DIRECTIONS) if d]
    return summary


def sheet(path: Path, cells: Cells, sketches: list[Sketch]) -> None:
    """A contact sheet: for each sketch the drawing, then frames of `best` (or the first variant there is)."""
    lines = []
    for sketch in sketches:
        names = sorted((name for name, index in cells.used if index == sketch.index), key=lambda name: name != "best")
        if names:
            video = as_large(cells.used[names[0], sketch.index], sketch)
            lines.append(np.concatenate([sketch.drawing, *video], 1))
    if lines:
        write_image(path, np.concatenate([line for line in lines if line.shape == lines[0].shape], 0))


def variants_of(text: str) -> tuple[list[str], list[str]]:
    """The chosen rows of the table, main ones and ablations.

    Raises:
        UserError: a name that is no row.
    """
    names = text.split(",") if text else [*MAIN, *ABLATIONS]
    if wrong := [n for n in names if n not in MAIN | ABLATIONS]:
        raise UserError(f"no variant {wrong[0]!r}; known: {', '.join(MAIN | ABLATIONS)}")
    return [n for n in names if n in MAIN], [n for n in names if n in ABLATIONS]


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24, help="sketches for the main rows")
    parser.add_argument("--ablations", type=int, default=12, help="how many of them the ablations run on")
    parser.add_argument("--variants", default="", help="comma-separated rows (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--backbone", default="pocket-modelscope")
    parser.add_argument("--path", default=None, help="a folder with the backbone's weights (default: the shipped ones)")
    parser.add_argument("--size", type=int, default=None, help="side in pixels (default: the backbone's)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="the faster one: bfloat16")
    parser.add_argument("--config", default="{}", help="JSON: settings of the method for every row")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench/flipsketch"))
    parser.add_argument("--sheet", type=Path, default=None)
    parser.add_argument("--shard", default="", help="i/n: only run every n-th sketch from i on; no table")
    args = parser.parse_args(argv)
    main_rows, ablations = variants_of(args.variants)
    first, every = (int(v) for v in args.shard.split("/")) if args.shard else (0, 1)
    cells, weights = Cells(args.folder), weights_hash(args.backbone, args.path)
    sketches = [make_sketch(i, args.seed, args.frames) for i in range(args.pairs)]
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for sketch in sketches[first::every]:
        names = [*BOUNDS, *main_rows, *(ablations if sketch.index < args.ablations else [])]
        for name in names:  # one after the other, so that they share the sketch's cached preparation
            rows.setdefault(name, {})[sketch.index] = run_cell(cells, name, sketch, args, weights)
        shown = {n: round(rows[n][sketch.index]["consistency"], 2) for n in names}
        print(f"{sketch.index + 1}/{args.pairs} {sketch.prompt}: consistency {shown}", flush=True)
    if args.shard:
        return {}
    summary = table(rows)
    if args.sheet:
        sheet(args.sheet, cells, sketches[:12])
    own = {name: round(value, 4) for name, value in clipscorer.stated_accuracy().items()}
    print(f"\nthe judge's own accuracy on held-out clips: {own}")
    out = {
        "n": args.pairs,
        "n_ablations": min(args.ablations, args.pairs),
        "backbone": args.backbone,
        **summary,
        "judge_accuracy": own,
    }
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    main()
