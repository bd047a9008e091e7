"""Quality of VIDMP3 on held-out sprite clips whose true motion is known, with the paper's Figure 6 ablations.

    python benchmarks/quality_vidmp3.py --clips 24 --ablations 12 --seed 0 [--variants vidmp3,off] [--sheet PNG]

An edit: a clip of a character that no training step showed, its prompt ("a red horse walking"), and the same words
with another subject ("a blue elephant walking"). The edited video is asked for two things: the source's motion, against
the source's TRUE keypoints, and the other subject, by the sprite clip judge. One clip in four moves as no
training clip of the backbone did.
Bounds: `source` is the source clip itself and `truth` the other subject under the source's very motion (what both
rulers say of a perfect edit); `still` repeats the first frame of that truth; `text` is plain text-to-video of the
edited prompt; `off` is the same tuning without the guide.
Every finished cell is a line of cells.jsonl in --folder and is not run again: stop and go on as you like. The table
gives n, mean and a 95 % bootstrap interval; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
from common import Cells, direction, interval, merged

import motionkit
from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.media import from_frames, write_image
from motionkit.media.framing import resize
from motionkit.metrics import clipscorer, text_image
from motionkit.metrics.pose import estimate, stated_error
from motionkit.table.bench.generators import SIZE, Edit, make_edit
from motionkit.weights import places
from motionkit.weights.hashing import hash_json, hash_path

BOUNDS = ("source", "truth", "still")
TEXT = "text"
MAIN: dict[str, dict] = {"vidmp3": {}, "off": {"guide": {"inputs": "off"}}}
ABLATIONS: dict[str, dict] = {
    "concat": {"guide": {"inputs": "concat"}},
    "correspondence": {"guide": {"inputs": "correspondence"}},
    "depth": {"guide": {"inputs": "depth"}},
}
FIGURES = {
    "motion_match": "correlation of the joints' paths with the source's true ones (1: the same motion; 0: none)",
    "motion_error": "mean distance of the joints' paths from the source's true ones, each about its mean, px of 128",
    "motion_right": "share of clips in which the judge sees the source's motion",
    "path_over_source": "length of the joints' paths over the source's",
    "kind_right": "share of clips in which the judge sees the kind that the edited prompt names",
    "kind_agreement": "probability that the judge gives to that kind",
    "kind_source": "probability that the judge gives to the source's kind (what was not edited away)",
    "colour_right": "share of clips in which the judge sees the colour that the edited prompt names",
    "consistency": "mean cosine of neighbouring frames' identities",
    "xclip": "X-CLIP cosine to the edited prompt",
    "seconds": "wall seconds of the edit; the first variant's holds what the later ones take from the cache",
}
HIGHER, LOWER = 1, -1
DIRECTIONS = (  # figure, variant, against, wanted sign of the difference, claim
    ("motion_match", "vidmp3", "still", HIGHER, "the edit moves as the source does, more than nothing"),
    ("motion_match", "vidmp3", "text", HIGHER, "the edit moves as the source does, more than plain text-to-video"),
    ("motion_match", "vidmp3", "off", HIGHER, "the guide carries motion that tuning alone does not"),
    ("motion_error", "vidmp3", "off", LOWER, "the guide carries motion that tuning alone does not"),
    ("kind_agreement", "vidmp3", "off", HIGHER, "the guide does not hold the source's subject"),
    ("kind_source", "vidmp3", "off", LOWER, "the guide does not hold the source's subject"),
    ("motion_match", "vidmp3", "concat", HIGHER, "Figure 6: the product over concatenation"),
    ("motion_match", "vidmp3", "correspondence", HIGHER, "Figure 6: the product over correspondence alone"),
    ("motion_match", "vidmp3", "depth", HIGHER, "Figure 6: the product over depth alone"),
    ("kind_agreement", "vidmp3", "concat", HIGHER, "Figure 6: the product over concatenation"),
)


def weights_hash(args: Namespace) -> str:
    """Changes when weights that the method uses change, so that cells are run again; not with the judges."""
    asset = catalog.get(args.backbone).asset
    own = [Path(args.path)] if args.path else [places.assets() / asset, places.assets() / "pocket-sd"] if asset else []
    return hash_json([hash_path(p) for p in [*own, places.assets() / "perception"] if p.exists()])


def run_cell(cells: Cells, variant: str, edit: Edit, args: Namespace, weights: str) -> dict:
    """One variant on one edit: its figures."""
    if variant in BOUNDS:
        still = np.repeat(edit.target.frames[:1], len(edit.target.frames), 0)  # (F, H, W, 3)
        frames = {"source": edit.source.frames, "truth": edit.target.frames, "still": still}[variant]
        return measure(frames, edit) | {"seconds": 0.0}
    config = {} if variant == TEXT else settings_of(variant, edit, args)
    version = "" if variant == TEXT else registry.spec("vidmp3").version
    how = [variant == TEXT, version, config, args.backbone, args.size, args.frames, args.seed, args.gpu, args.dtype]
    if variant == TEXT:
        how += [args.text_steps, args.text_guidance]
    key = hash_json([how, weights, edit.source_prompt, edit.prompt, edit.source.character.key])[:16]
    kept = cells.get(key)
    if kept is None:
        begun = time.monotonic()
        video = text_to_video(edit, args) if variant == TEXT else run_method(edit, config, args)
        row = {
            "variant": variant,
            "index": edit.index,
            "seconds": round(time.monotonic() - begun, 2),
            "prompt": edit.prompt,
            "config": config,
        }
        cells.put(key, video, row)
        kept = video, row
    return measure(kept[0], edit) | {"seconds": kept[1]["seconds"]}


def settings_of(variant: str, edit: Edit, args: Namespace) -> dict:
    """The method's settings: those of the command line, the variant's, and the word that names the subject."""
    given = merged(json.loads(args.config), (MAIN | ABLATIONS)[variant])
    return given | {"subject": edit.source.character.kind}


def run_method(edit: Edit, config: dict, args: Namespace) -> np.ndarray:
    """The edited video (F, H, W, 3) uint8."""
    gpu = {"name": args.gpu} | ({"dtype": args.dtype} if args.dtype else {})
    method = motionkit.load("vidmp3", args.backbone, gpu, backbone_path=args.path, **config)
    source = from_frames(edit.source.frames, edit.source.fps, "source")
    result = method(
        driving=source,
        prompt=edit.prompt,
        source_prompt=edit.source_prompt,
        seed=args.seed,
        frames=args.frames,
        size=args.size,
    )
    return result.frames


def text_to_video(edit: Edit, args: Namespace) -> np.ndarray:
    """What the backbone makes of the edited prompt alone (F, H, W, 3) uint8."""
    from quality_pocket_modelscope import Asked, draw

    from motionkit.backbones import load
    from motionkit.running.execute import plan_for

    plan = plan_for({"name": args.gpu} | ({"dtype": args.dtype} if args.dtype else {}), args.backbone)
    who = edit.target.character
    how = Namespace(frames=args.frames, steps=args.text_steps, guidance=args.text_guidance, share=0.7)
    asked = Asked(who.kind, who.colour, edit.target.motion.name, False)
    return draw(load(args.backbone, plan, path=args.path), [asked], [args.seed * 1000 + edit.index], how)[0]


def measure(video: np.ndarray, edit: Edit) -> dict[str, float]:
    """Every figure of a clip at the source's size."""
    video = np.stack([resize(frame, SIZE, SIZE) for frame in video])
    verdict, wanted = clipscorer.judge(video), edit.target.character
    match, error = motion_figures(estimate(video)[..., :2], edit.source.keypoints)
    faces = clipscorer.identity(video)
    out = {
        "motion_match": match,
        "motion_error": error,
        "motion_right": float(verdict.best("motion") == edit.source.motion.name),
        "path_over_source": clipscorer.joint_path(video) / clipscorer.joint_path(edit.source.frames),
        "kind_right": float(verdict.best("kind") == wanted.kind),
        "kind_agreement": verdict.kind[wanted.kind],
        "kind_source": verdict.kind[edit.source.character.kind],
        "colour_right": float(verdict.best("colour") == wanted.colour),
        "consistency": float((faces[1:] * faces[:-1]).sum(-1).mean()),
    }
    if text_image.available("xclip"):
        out["xclip"] = text_image.xclip_agreement(video, edit.prompt)
    return out


def motion_figures(joints: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """How alike two motions are, whatever the bodies: correlation, and mean distance, of paths about their means.

    Args:
        joints, truth: (F, 12, 2) pixels.

    Returns:
        Correlation over all joints, frames and axes, [-1, 1], 0 for a clip that does not move; distance in pixels.
    """
    a, b = (path - path.mean(0) for path in (np.asarray(joints, np.float64), np.asarray(truth, np.float64)))
    power = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / power) if power > 1e-6 else 0.0, float(np.linalg.norm(a - b, axis=-1).mean())


def table(rows: dict[str, dict[int, dict[str, float]]], unseen: set[int]) -> dict:
    """Prints mean, interval and n of every figure, and the paired differences; returns them."""
    summary: dict = {}
    for figure, meaning in FIGURES.items():
        if not any(figure in cell for cells in rows.values() for cell in cells.values()):
            continue
        print(f"\n{figure}: {meaning}")
        summary[figure] = {}
        for variant, cells in rows.items():
            _line(summary[figure], variant, [cell[figure] for cell in cells.values() if figure in cell])
        if figure == "motion_match":
            for variant, cells in rows.items():
                few = [cell[figure] for index, cell in cells.items() if index in unseen]
                if few:
                    _line(summary.setdefault("motion_match_unseen", {}), variant, few, " (unseen motions)")
    summary["directions"] = [d for d in (direction(rows, *line) for line in DIRECTIONS) if d]
    return summary


def _line(into: dict, variant: str, values: list[float], mark: str = "") -> None:
    into[variant] = interval(values)
    mean, low, high = into[variant]
    print(f"  {variant + mark:32s} n={len(values):3d}  {mean:8.3f}  [{low:.3f}, {high:.3f}]")


def sheet(path: Path, cells: Cells, edits: list[Edit], variants: list[str]) -> None:
    """A contact sheet: for each edit the source, then each variant that has run, every third frame."""
    lines = []
    for edit in edits:
        shown = [edit.source.frames]
        for variant in variants:
            rows = [
                k
                for k, r in cells.rows.items()
                if (r["variant"], r["index"], r["prompt"]) == (variant, edit.index, edit.prompt)
            ]
            if rows and (kept := cells.get(rows[-1])) is not None:
                shown.append(np.stack([resize(f, SIZE, SIZE) for f in kept[0]]))
        lines += [np.concatenate(list(clip[::3]), 1) for clip in shown]
    if lines:
        wide = max(line.shape[1] for line in lines)
        write_image(path, np.concatenate([_widened(line, wide) for line in lines], 0))


def _widened(line: np.ndarray, wide: int) -> np.ndarray:
    return np.pad(line, ((0, 0), (0, wide - line.shape[1]), (0, 0)), constant_values=255)


def variants_of(text: str) -> tuple[list[str], list[str]]:
    """The chosen rows of the table, main ones and ablations.

    Raises:
        UserError: a name that is no row.
    """
    known = [*MAIN, TEXT, *ABLATIONS]
    names = text.split(",") if text else known
    if wrong := [n for n in names if n not in known]:
        raise UserError(f"no variant {wrong[0]!r}; known: {', '.join(known)}")
    return [n for n in names if n not in ABLATIONS], [n for n in names if n in ABLATIONS]


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", "--pairs", type=int, default=24, help="edits for the main rows")
    parser.add_argument("--ablations", type=int, default=12, help="how many of them the ablations run on")
    parser.add_argument("--variants", default="", help="comma-separated rows (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--backbone", default="pocket-animatediff")
    parser.add_argument("--path", default=None, help="a folder with the backbone's weights (default: the shipped ones)")
    parser.add_argument("--size", type=int, default=None, help="side in pixels (default: the backbone's)")
    parser.add_argument("--gpu", default="cpu", help="a name of conf/gpu")
    parser.add_argument("--dtype", default=None, choices=("float32", "bfloat16"), help="default: the gpu setting's")
    parser.add_argument("--config", default="{}", help="JSON: settings of the method for every row")
    parser.add_argument("--text-steps", type=int, default=25, help="of plain text-to-video")
    parser.add_argument("--text-guidance", type=float, default=4.0, help="of plain text-to-video")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench/vidmp3"))
    parser.add_argument("--sheet", type=Path, default=None)
    parser.add_argument("--shard", default="", help="i/n: only run every n-th edit from i on; no table")
    return parser


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    args = arguments().parse_args(argv)
    main_rows, ablations = variants_of(args.variants)
    first, every = (int(v) for v in args.shard.split("/")) if args.shard else (0, 1)
    cells, weights = Cells(args.folder), weights_hash(args)
    edits = [make_edit(i, args.seed, args.frames) for i in range(args.clips)]
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for edit in edits[first::every]:
        names = [*BOUNDS, *main_rows, *(ablations if edit.index < args.ablations else [])]
        for name in names:  # one after the other, so that they share the edit's cached preparation
            rows.setdefault(name, {})[edit.index] = run_cell(cells, name, edit, args, weights)
        shown = {n: round(rows[n][edit.index]["motion_match"], 2) for n in names}
        print(f"{edit.index + 1}/{args.clips} {edit.source_prompt} -> {edit.prompt}: match {shown}", flush=True)
    if args.shard:
        return {}
    summary = table(rows, {e.index for e in edits if e.unseen})
    if args.sheet:
        sheet(args.sheet, cells, edits[:8], [*main_rows, *ablations])
    pose = {name: round(value, 3) for name, value in stated_error().items()}
    judge = {name: round(value, 4) for name, value in clipscorer.stated_accuracy().items()}
    print(f"\nthe pose estimator's own error on truth, px of 128: {pose}")
    print(f"the judge's own accuracy on held-out clips: {judge}")
    out = {
        "n": args.clips,
        "n_ablations": min(args.ablations, args.clips),
        "backbone": args.backbone,
        **summary,
        "pose_error_on_truth_px": pose,
        "judge_accuracy": judge,
    }
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    main()
