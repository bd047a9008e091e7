"""What the shipped `pocket-animatediff` makes of a sentence, beside its image model without motion modules.

    python benchmarks/quality_pocket_animatediff.py --captions 60 --frames 16 --seed 0 [--sheet samples.png]

Captions, noise, judge and figures are those of quality_pocket_modelscope.py, in colour. The second arm is `pocket-sd`
on the same captions and noise, every frame on its own: what the frozen weights do without any knowledge of time. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from quality_pocket_modelscope import captions, figures, finished, sheet

from motionkit.backbones import load
from motionkit.backbones.motion_files import MotionOptions
from motionkit.metrics import clipscorer
from motionkit.running.execute import plan_for

ARMS = {"motion modules": "pocket-animatediff", "image model": "pocket-sd"}


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", "--pairs", type=int, default=60)
    parser.add_argument("--frames", type=int, default=16, help="up to 32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--share", type=float, default=0.7, help="share of the noise's variance common to the frames")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--motion-adapter", default=None, help="a folder with motion modules (default: the shipped)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="the faster one: bfloat16")
    parser.add_argument("--folder", type=Path, default=Path("runs/bench/pocket-animatediff"))
    parser.add_argument("--sheet", type=Path, default=None)
    args = parser.parse_args(argv)
    asked = captions(args.captions, args.seed, False)
    out: dict = {key: getattr(args, key) for key in ("frames", "steps", "guidance", "share", "seed", "dtype")}
    sheets = []
    for arm in args.arms:
        motion = MotionOptions(adapter=args.motion_adapter) if ARMS[arm] == "pocket-animatediff" else None
        clips = finished(load(ARMS[arm], plan_for({"name": "cpu", "dtype": args.dtype}), motion=motion), asked, args)
        sheets += clips[:16]
        out[arm] = figures(asked, clips, args.seed)
        for key, value in out[arm].items():
            print(f"  {arm:15s} {key:28s} {value}")
    if args.sheet:
        sheet(args.sheet, sheets)
    out["judge_accuracy"] = clipscorer.stated_accuracy()
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    main()
