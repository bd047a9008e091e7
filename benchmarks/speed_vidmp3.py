"""What VIDMP3 costs: a first edit with everything in it, and a second prompt on the same clip.

    python benchmarks/speed_vidmp3.py [--backbone pocket-animatediff] [--frames 16] [--threads 2]

The cache starts empty, so the first edit perceives, tunes, inverts and samples; the second one only samples. Seconds
are wall time, the weights' loading included; processor seconds are printed beside, as other work on the machine counts
in the former and not in the latter. The last line is one JSON object: first_edit_s, second_edit_s, second_over_first,
first_edit_cpu_s, second_edit_cpu_s, peak_mb (resident; cuda_peak_mb beside it on a GPU), stages.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time

import torch

import motionkit
from motionkit.errors import in_one_line
from motionkit.media import from_frames
from motionkit.table.bench.generators import Edit, make_edit
from motionkit.transfer import Result


def timed(edit: Edit, prompt: str, args: argparse.Namespace) -> tuple[Result, float, float]:
    """One edit: its result, wall seconds and processor seconds."""
    wall, processor = time.monotonic(), time.process_time()
    gpu = {"name": args.gpu} | ({"dtype": args.dtype} if args.dtype else {})
    settings = json.loads(args.config) | {"subject": edit.source.character.kind}
    method = motionkit.load("vidmp3", args.backbone, gpu, backbone_path=args.path, **settings)
    source = from_frames(edit.source.frames, edit.source.fps, "source")
    result = method(driving=source, prompt=prompt, source_prompt=edit.source_prompt, frames=args.frames, size=args.size)
    return result, time.monotonic() - wall, time.process_time() - processor


def measure(args: argparse.Namespace) -> dict:
    """Both edits on an empty cache."""
    edit = make_edit(0, 0, args.frames)
    other = edit.prompt.replace(edit.target.character.colour, edit.source.character.colour)
    first, first_wall, first_cpu = timed(edit, edit.prompt, args)
    second, second_wall, second_cpu = timed(edit, other, args)
    peaks = [result.manifest["peak_memory"] for result in (first, second)]
    stages = {
        name: {stage: round(float(facts.get("seconds", 0.0)), 2) for stage, facts in result.manifest["stages"].items()}
        for name, result in (("first", first), ("second", second))
    }
    out = {
        "first_edit_s": round(first_wall, 2),
        "second_edit_s": round(second_wall, 2),
        "second_over_first": round(second_wall / first_wall, 3),
        "first_edit_cpu_s": round(first_cpu, 2),
        "second_edit_cpu_s": round(second_cpu, 2),
        "peak_mb": max(float(p["rss_mb"]) for p in peaks),
        "stages": stages,
        "backbone": args.backbone,
        "frames": args.frames,
        "threads": torch.get_num_threads(),
    }
    if "cuda_mb" in peaks[0]:
        out["cuda_peak_mb"] = max(float(p["cuda_mb"]) for p in peaks)
    return out


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="pocket-animatediff")
    parser.add_argument("--path", default=None, help="a folder with the backbone's weights (default: the shipped ones)")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=None, help="side in pixels (default: the backbone's)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", default="cpu", help="a name of conf/gpu")
    parser.add_argument("--dtype", default=None, choices=("float32", "bfloat16"), help="default: the gpu setting's")
    parser.add_argument("--config", default="{}", help="JSON: settings of the method")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    before = os.environ.get("MOTIONKIT_CACHE")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MOTIONKIT_CACHE"] = cache
        try:
            out = measure(args)
        finally:
            os.environ.pop("MOTIONKIT_CACHE")
            if before is not None:
                os.environ["MOTIONKIT_CACHE"] = before
    print(f"{args.backbone}, {args.frames} frames, {out['threads']} threads, torch {torch.__version__}")
    for name in ("first", "second"):
        print(
            f"{name} edit: {out[f'{name}_edit_s']:.1f} s wall, {out[f'{name}_edit_cpu_s']:.1f} s of processor; "
            f"stages {out['stages'][name]}"
        )
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    in_one_line(main)
