"""Quality of AnaMoDiff on the sprite world's test split, against the known truth.

    python benchmarks/quality_anamodiff.py --pairs 24 --seed 0 [--ablations 6] [--folder runs/bench/anamodiff]

A pair: character B as source (a clip of B under the same kind of motion at another phase, speed and amplitude, so the
start poses differ), character A as driving clip; the truth is B under A's very motion. Half of the pairs are
quadrupeds, half bipeds; held-out kinds and motions take part. Finished cells are kept and not run again.
The table gives n, mean and a 95 % bootstrap interval; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from common import grown, interval, through_autoencoder

from motionkit.backbones import load
from motionkit.media import from_frames
from motionkit.metrics import keypoint_error, masked_psnr, motion_ratio, psnr
from motionkit.metrics.pose import estimate, stated_error
from motionkit.running.execute import execute, plan_for
from motionkit.sprites import SpriteClip
from motionkit.table.bench.generators import make_triple
from motionkit.transfer import Inputs
from motionkit.weights import places
from motionkit.weights.hashing import hash_json

FRAMES = 10
# The main table: floors, the method, and its two adaptations alone: both warp the first source frame, and neither is
# tuned nor denoised far, so that they differ in the adaptation and in nothing else.
UNTUNED: dict = {"source_frame": "0", "lora": {"steps": 0}, "sample": {"start_t": 100}}
MAIN: dict[str, tuple[str, dict]] = {
    "still": ("still", {}),
    "warp": ("warp", {}),
    "anamodiff": ("anamodiff", {}),
    "one-frame-mean": ("anamodiff", UNTUNED | {"adapt": {"reference": "mean"}}),
    "one-frame-first": ("anamodiff", UNTUNED | {"adapt": {"reference": "first"}}),
}
# The paper's ablations (section 4.3, figure 7), from its own start: the warped inverse.
TUNE = {"steps": 60, "source_high": 1000, "warped_weight": 1.0, "clip_frames": 5}
FROM_NOISE = {"source_frame": "0", "lora": TUNE, "sample": {"start": "inverted", "guidance": 1.5}}
ABLATIONS: dict[str, tuple[str, dict]] = {
    "inverted": ("anamodiff", FROM_NOISE),
    "inverted-no-zwi": ("anamodiff", FROM_NOISE | {"lora": TUNE | {"warped_weight": 0.0}}),
    "inverted-dw-all": ("anamodiff", FROM_NOISE | {"lora": TUNE | {"warped_low": 0}}),
}


def make_pair(index: int, seed: int) -> tuple[SpriteClip, SpriteClip, SpriteClip]:
    """Source clip of B, driving clip of A, and the truth: B under A's motion."""
    made = make_triple(index, seed, FRAMES)
    return made.source, made.driving, made.truth


def measure(video: np.ndarray, truth: SpriteClip) -> dict[str, float]:
    """PSNR on the subject region (true subject, slightly grown), whole-frame PSNR, keypoint error, motion range."""
    points = estimate(video)[..., :2]
    spread = points.std(0).mean() / max(truth.keypoints.std(0).mean(), 1e-6)
    return {
        "psnr": masked_psnr(video, truth.frames, grown(truth.mask)),
        "psnr_frame": psnr(video, truth.frames),
        "keypoints": keypoint_error(points, truth.keypoints),
        "motion_ratio": motion_ratio(video, truth.frames),
        "motion_range": float(spread),
    }


def run_cell(
    folder: Path, name: str, pair: tuple[SpriteClip, SpriteClip, SpriteClip], index: int, seed: int
) -> dict[str, float]:
    """One method on one pair; kept on disk under the hash of all that decides it."""
    method, config = (MAIN | ABLATIONS).get(name, ("", {}))
    source, driving, truth = pair
    path = (
        folder
        / f"{index:03d}-{name}-{hash_json([method, config, seed, source.character.key, weights_hash()])[:10]}.json"
    )
    if path.exists():
        return json.loads(path.read_text())
    if name == "bound":
        video, seconds = through_autoencoder(load("pocket-sd", plan_for("cpu")), truth.frames), 0.0
    else:
        inputs = Inputs(
            reference=from_frames(source.frames, 8.0, "source"),
            driving=from_frames(driving.frames, 8.0, "driving"),
            prompt=f"a {truth.character.colour} {truth.character.kind}",
        )
        result = execute(
            method,
            inputs,
            config=config,
            gpu="cpu",
            seed=seed,
            frames=FRAMES,
            size=128 if method in ("still", "warp") else None,
        )
        video, seconds = (
            result.frames,
            float(sum(stage.get("seconds", 0.0) for stage in result.manifest["stages"].values())),
        )
    figures = measure(video, truth) | {"seconds": seconds}
    if name == "anamodiff":  # what tuning and denoising add to the warped clip that they start from
        figures["psnr_zwi"] = measure(result.shown["warped"], truth)["psnr"]
    np.save(path.with_suffix(".npy"), video)
    path.write_text(json.dumps(figures))
    return figures


def weights_hash() -> str:
    """Changes when any shipped weight changes, so that cells are run again."""
    assets = places.assets()
    return hash_json(
        [
            (str(p.relative_to(assets)), p.stat().st_size, p.stat().st_mtime_ns)
            for p in sorted(assets.rglob("*.safetensors"))
        ]
    )


def table(rows: dict[str, list[dict[str, float]]]) -> dict:
    """Prints the table and returns mean and interval of every figure."""
    summary: dict = {}
    for key in ("psnr", "keypoints", "psnr_frame", "motion_ratio", "motion_range", "seconds"):
        print(f"\n{key}")
        summary[key] = {}
        for name, cells in rows.items():
            mean, low, high = summary[key][name] = interval([c[key] for c in cells], 3)
            print(f"  {name:18s} n={len(cells):3d}  {mean:8.2f}  [{low:.2f}, {high:.2f}]")
    return summary


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--ablations", type=int, default=6, help="how many of the pairs run the paper's ablations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench/anamodiff"))
    parser.add_argument(
        "--shard", default="", help="i/n: only run every n-th pair from i on, to share the work; no table"
    )
    args = parser.parse_args()
    first, every = (int(v) for v in args.shard.split("/")) if args.shard else (0, 1)
    args.folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, float]]] = {}
    for i in range(first, args.pairs, every):
        pair = make_pair(i, args.seed)
        names = ["bound", *MAIN] + (list(ABLATIONS) if i < args.ablations else [])
        for name in names:
            rows.setdefault(name, []).append(run_cell(args.folder, name, pair, i, args.seed))
        shown = {n: round(rows[n][-1]["psnr"], 1) for n in names}
        who = f"{pair[1].character.kind} → {pair[0].character.kind} ({pair[1].motion.name})"
        print(f"{i + 1}/{args.pairs} {who}: {shown}", flush=True)
    if args.shard:
        return
    summary = table(rows)
    middle, low, high = summary["psnr"]["z_wi"] = interval([c["psnr_zwi"] for c in rows["anamodiff"]], 3)
    print(f"\npsnr of the warped clip Z_WI before tuning and denoising: {middle:.2f} [{low:.2f}, {high:.2f}]")
    mean = {name: summary["psnr"][name][0] for name in rows}
    closed = (mean["anamodiff"] - mean["still"]) / (mean["bound"] - mean["still"])
    own = stated_error()
    print(f"\nthe pose estimator's own error on truth: {own['mean_px']:.2f} px mean, {own['median_px']:.2f} px median")
    print(
        json.dumps(
            {
                "n": args.pairs,
                **summary,
                "gap_closed": round(closed, 3),
                "pose_error_on_truth_px": round(own["mean_px"], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
