"""Time and memory of the two temporal modules over the number of frames: the temporal transformer and Mamba.

`python benchmarks/mamba_scaling.py` (one thread; the last line is JSON). diffusers' TransformerTemporalModel, as the
released Animate-X weights have it, against `motionkit.backbones.mamba.MambaTemporal`, with the same channels on the
same pixels; random weights, as time does not depend on them. Each cell runs in a process of its own.

seconds: CPU seconds of one call (least of the rounds), without gradients; train_seconds: with the backward pass.
memory_mb: what the process needs above what it had, with the module and its input there; train_memory_mb likewise.
growth: seconds from half the largest number of frames to the largest; 2 is linear, 4 is quadratic.
mamba_faster_from: the least number of frames from which Mamba is the faster in every measured length, or null.
On a GPU (--device cuda) seconds are wall time and memory is torch's own peak.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel

from motionkit.backbones import selective_scan
from motionkit.backbones.mamba import MambaTemporal
from motionkit.errors import in_one_line

MODULES = ("transformer", "mamba")


def build(name: str, options: argparse.Namespace) -> torch.nn.Module:
    """A temporal module with random weights, so that nothing is skipped."""
    torch.manual_seed(0)
    if name == "mamba":
        return MambaTemporal(options.channels, layers=options.layers).to(options.device)
    heads = max(1, options.channels // 64)
    return TransformerTemporalModel(heads, options.channels // heads, options.channels).to(options.device)


def measure(name: str, frames: int, train: bool, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of one call and MiB above the start."""
    cuda = options.device.startswith("cuda")
    module = build(name, options)
    clip = torch.randn(frames, options.channels, options.side, options.side, device=options.device)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = torch.cuda.memory_allocated() if cuda else _resident()
    seconds = []
    for _ in range(options.rounds + cuda):
        began = time.perf_counter() if cuda else time.process_time()
        with torch.set_grad_enabled(train):
            out = module(clip, num_frames=frames, return_dict=False)[0]
            if train:
                out.square().mean().backward()
        if cuda:
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() if cuda else time.process_time()) - began)
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
    return min(seconds), (peak - start) / 2**20


def _resident() -> int:
    """Bytes of this process in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def apart(name: str, frames: int, train: bool, options: argparse.Namespace) -> tuple[float, float]:
    """`measure` in a forked process, whose peak is its own; on a GPU in this one."""
    if options.device.startswith("cuda"):
        return measure(name, frames, train, options)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, json.dumps(measure(name, frames, train, options)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit(f"{name} at {frames} frames failed (out of memory?): try fewer --frames or a smaller --side")
    seconds, memory = json.loads(said)
    return seconds, memory


def faster_from(frames: list[int], mamba: list[float], transformer: list[float]) -> int | None:
    """The least number of frames from which Mamba wins at every measured length."""
    found = None
    for count, ours, theirs in sorted(zip(frames, mamba, transformer, strict=True), reverse=True):
        if ours >= theirs:
            break
        found = count
    return found


def main(argv: list[str] | None = None) -> dict:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512, 1024])
    parser.add_argument("--channels", type=int, default=320, help="320: the first level of the released UNet")
    parser.add_argument("--side", type=int, default=2, help="of the square of pixels")
    parser.add_argument("--layers", type=int, default=1, help="Mamba blocks in one module")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-train", action="store_true", help="leave the backward pass out")
    options = parser.parse_args(argv)
    options.frames.sort()
    torch.set_num_threads(1)
    if options.device.startswith("cuda"):  # its own start is not to be measured
        measure("mamba", options.frames[0], True, options)
    kernels = options.device.startswith("cuda") and selective_scan.kernels_installed()
    sizes = {name: sum(p.numel() for p in build(name, options).parameters()) for name in MODULES}
    print(
        f"{options.channels} channels, {options.side}x{options.side} pixels, {options.device}, torch "
        f"{torch.__version__}, scan: {'mamba-ssm' if kernels else 'pure torch'}; weights: {sizes}"
    )
    out: dict = {"channels": options.channels, "pixels": options.side**2, "frames": options.frames, "weights": sizes}
    print(f"{'':24s}" + "".join(f"{f:>10d}" for f in options.frames))
    for train in (False,) if options.no_train else (False, True):
        kind = "train_" if train else ""
        for name in MODULES:
            cells = [apart(name, frames, train, options) for frames in options.frames]
            for what, digits, values in zip(("seconds", "memory_mb"), (4, 1), zip(*cells, strict=True), strict=True):
                out[f"{kind}{what}_{name}"] = [round(v, digits) for v in values]
                print(f"{kind + what:16s}{name[:7]:8s}" + "".join(f"{v:10.{digits}f}" for v in values))
        times = {name: out[f"{kind}seconds_{name}"] for name in MODULES}
        out[f"{kind}growth"] = {n: round(t[-1] / t[-2], 2) for n, t in times.items() if len(t) > 1 and t[-2]}
        out[f"{kind}mamba_faster_from"] = faster_from(options.frames, times["mamba"], times["transformer"])
    print(json.dumps(out))
    return out


if __name__ == "__main__":
    in_one_line(main)
