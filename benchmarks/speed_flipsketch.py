"""What composed attention and alignment cost: ratios to plain guided steps of the same UNet, taken in one run.

`python benchmarks/speed_flipsketch.py` (one thread; the last line is JSON). A random UNet3DConditionModel of channels
(32, 64) on 10 frames of 32 x 32 latents and 77 text tokens stands for the real one: ratios do not depend on weights.
Plain is diffusers' own SDPA processors, two calls (with and without the prompt), which is quicker here than one batch.

composed_over_plain_n10, _n1: a step of the first run on a sketch, the reference branch of 10 or of 1 frame included.
second_prompt_over_plain: the same step once the sketch's reference branch is kept (N = 10).
alignment_s: one step's alignment, 9 updates, CPU seconds.  stored_qk_mb: queries and keys kept for one step at N = 10.
Times are CPU seconds of this process, so that other work on the machine counts little; the variants take turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from diffusers import UNet3DConditionModel
from torch import Tensor

from motionkit.errors import in_one_line
from motionkit.methods.flipsketch.align import align
from motionkit.methods.flipsketch.compose import Composer, Recording

UNET = dict(
    sample_size=32,
    in_channels=4,
    out_channels=4,
    layers_per_block=1,
    block_out_channels=(32, 64),
    norm_num_groups=8,
    cross_attention_dim=24,
    attention_head_dim=8,
    down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
    up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
)
FRAMES, SIDE, TOKENS, T = 10, 32, 77, 500


class Bench:
    """One UNet, its inputs, and each kind of step as a function."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.unet = UNet3DConditionModel(**UNET).eval().requires_grad_(False)
        self.x, self.ref = (torch.randn(1, 4, FRAMES, SIDE, SIDE) for _ in range(2))
        self.prompt, self.null = (torch.randn(1, TOKENS, UNET["cross_attention_dim"]) for _ in range(2))
        self.composer = Composer(self.denoise, self.unet)
        with torch.no_grad(), self.composer.installed():
            self.kept: Recording = self.composer.record(self.ref, T, self.null)[1]

    def denoise(self, x: Tensor, t: int, text: Tensor) -> Tensor:
        return self.unet(x, t, text).sample

    def plain(self) -> None:
        self.denoise(self.x, T, self.null)
        self.denoise(self.x, T, self.prompt)

    def first_run(self, frames: int) -> None:
        with self.composer.installed():
            recording = self.composer.record(self.ref[:, :, :frames], T, self.null)[1]
            self.composer.plain(self.x, T, self.null)
            self.composer.composed(self.x, T, self.prompt, recording)

    def second_prompt(self) -> None:
        with self.composer.installed():
            self.composer.plain(self.x, T, self.null)
            self.composer.composed(self.x, T, self.prompt, self.kept)

    def alignment(self, updates: int) -> None:
        target = self.ref[0, :, 0]
        with self.composer.installed():
            align(lambda z: self.composer.plain(z, T, self.prompt), self.x, self.ref[0, :, 0], target, updates=updates)


def medians(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each, one of each in turn."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.process_time()
            step()
            taken[name].append(time.process_time() - began)
    return {name: float(np.median(values)) for name, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=9, help="of the alignment; fewer are scaled to 9")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench()
    with torch.no_grad():
        seconds = medians(
            {
                "plain": bench.plain,
                "first run, N=10": lambda: bench.first_run(10),
                "first run, N=1": lambda: bench.first_run(1),
                "second prompt": bench.second_prompt,
            },
            options.rounds,
        )
    began = time.process_time()
    bench.alignment(options.updates)
    aligned = (time.process_time() - began) * 9 / options.updates
    print(
        f"channels (32, 64), {SIDE}x{SIDE} latents, {FRAMES} frames, one thread, torch {torch.__version__}; "
        f"median of {options.rounds} rounds, CPU seconds"
    )
    for name, value in seconds.items():
        print(f"{name:18s} {value:7.3f}  {value / seconds['plain']:6.2f} x plain")
    print(f"{'alignment':18s} {aligned:7.3f}  9 updates")
    print(
        json.dumps(
            {
                "composed_over_plain_n10": round(seconds["first run, N=10"] / seconds["plain"], 3),
                "composed_over_plain_n1": round(seconds["first run, N=1"] / seconds["plain"], 3),
                "second_prompt_over_plain": round(seconds["second prompt"] / seconds["plain"], 3),
                "alignment_s": round(aligned, 2),
                "stored_qk_mb": round(bench.kept.megabytes, 2),
            }
        )
    )


if __name__ == "__main__":
    in_one_line(main)
