"""What a second-order sampler at half the steps, and guidance on a part of them, change in Animate-X's result.

`python benchmarks/few_steps_animatex.py` (one thread; pocket weights, held-out pictures, each with the poses of its own
clip). Each row is one way of sampling from the same noise:

calls, tflop: of the network, and its operations, counted by torch in one call of each kind.
seconds: CPU seconds of this process, the preparation left out, so that other work on the machine counts little.
to plain: PSNR in dB between its frames and those of the default (`ddim`, 30 steps, guidance at all of them), the mean
over all pairs and the least.
to truth: PSNR against the true clip.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from motionkit.errors import in_one_line
from motionkit.methods.animatex.net.backbone import AnimateXBackbone
from motionkit.running.execute import execute
from motionkit.table.bench.tasks import Case, make_case

PART = [0.1, 0.7]
GUIDANCE = 1.5  # on, whatever the preset of the backbone says: its interval is one of the rows
# name -> sampler, steps, guidance interval
ROWS: dict[str, tuple[str, int, list[float]]] = {
    "ddim 30": ("ddim", 30, [0.0, 1.0]),
    "dpmpp-2m-lu 15": ("dpmpp-2m-lu", 15, [0.0, 1.0]),
    "ddim 30, guided in [.1, .7]": ("ddim", 30, PART),
    "dpmpp-2m 15": ("dpmpp-2m", 15, [0.0, 1.0]),
    "dpmpp-2m-lu 15, guided in [.1, .7]": ("dpmpp-2m-lu", 15, PART),
    "ddim 15": ("ddim", 15, [0.0, 1.0]),
}
PLAIN = "ddim 30"


class Counted:
    """Calls of the network's UNet, their operations, and the CPU seconds from the first call on."""

    def __init__(self) -> None:
        self.calls, self.flops, self.first = 0, 0.0, math.nan
        self._of: dict[tuple[Any, ...], float] = {}

    def denoise(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`AnimateXBackbone.denoise`, counted; operations of a call depend on its shapes and prepared parts alone."""

        def counting(
            backbone: Any, latents: torch.Tensor, t: Any, *rest: Any, prepared: Any = None, **named: Any
        ) -> Any:
            if not self.calls:
                self.first = time.process_time()
            self.calls += 1
            kind = (tuple(latents.shape), id(prepared))
            if kind in self._of:
                self.flops += self._of[kind]
                return plain(backbone, latents, t, *rest, prepared=prepared, **named)
            with FlopCounterMode(display=False) as counter:
                found = plain(backbone, latents, t, *rest, prepared=prepared, **named)
            self._of[kind] = float(counter.get_total_flops())
            self.flops += self._of[kind]
            return found

        return counting


def sampled(
    case: Case, length: int, sampler: str, steps: int, interval: list[float]
) -> tuple[np.ndarray, Counted, float]:
    """The frames, what was counted, and the CPU seconds of sampling."""
    counted = Counted()
    config = {"sample": {"steps": steps, "guidance": GUIDANCE, "guidance_interval": interval}}
    with mock.patch.object(AnimateXBackbone, "denoise", counted.denoise(AnimateXBackbone.denoise)):
        made = execute(
            "animatex", case.inputs, config=config, backbone="pocket-animatex", frames=length, size=128, sampler=sampler
        )
    return made.frames, counted, time.process_time() - counted.first


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """In dB, of (F, H, W, 3) uint8 frames."""
    error = np.mean((a.astype(float) - b) ** 2)
    return 10 * math.log10(255**2 / max(error, 1e-9))


def measure(pairs: int, length: int) -> dict[str, list[dict[str, float]]]:
    """For each row the figures of every pair."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ROWS}
    for index in range(pairs):
        case, plain = make_case("pose-self", index, frames=length), None
        for name, row in ROWS.items():
            frames, counted, seconds = sampled(case, length, *row)
            plain = frames if plain is None else plain
            figures = {"calls": float(counted.calls), "tflop": counted.flops / 1e12, "seconds": seconds}
            figures |= {"plain": psnr(frames, plain), "truth": psnr(frames, case.truth)}
            print(index, name, figures, file=sys.stderr, flush=True)
            found[name].append(figures)
    return found


def table(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| sampling | calls | TFLOP | seconds | to plain (least), dB | to truth, dB |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in found.items():
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        near = "" if name == PLAIN else f"{mean['plain']:.1f} ({min(row['plain'] for row in rows):.1f})"
        lines.append(
            f"| {name} | {mean['calls']:.0f} | {mean['tflop']:.2f} | {mean['seconds']:.1f} | {near} | "
            f"{mean['truth']:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--frames", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict("os.environ", {"MOTIONKIT_CACHE": cache}):
        found = measure(options.pairs, options.frames)
    print(f"{options.pairs} pairs, {options.frames} frames of 128 px, one thread, torch {torch.__version__}")
    print("\n".join(table(found)))
    print(json.dumps(found))


if __name__ == "__main__":
    in_one_line(main)
