"""Whether queries, keys and values in one product are faster than in three, at the sizes of real networks.

`python benchmarks/speed_qkv.py` (one thread, or on a GPU with `--device cuda` in half precision). Each row is one
self-attention of Stable Diffusion 1.5 or ModelScope at 512 px (or along 16 frames): three products and attention
against one product with the three weights below each other, and attention; medians of turns, both in one run. CPU
seconds of this process, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# what: rows of the batch, tokens, width, heads
SIZES = {
    "within a frame, 64 x 64": (2, 4096, 320, 8),
    "within a frame, 32 x 32": (2, 1024, 640, 8),
    "within a frame, 16 x 16": (2, 256, 1280, 8),
    "along 16 frames, 32 x 32": (1024, 16, 640, 8),
    "along 16 frames, 16 x 16": (256, 16, 1280, 8),
}


def attended(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """(B, S, C) of queries, keys and values to the same."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # (B, heads, S, d)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def seconds(work: Callable[[], object], device: str) -> float:
    """Of the processor, or of the clock where a GPU works."""
    now = time.process_time if device == "cpu" else time.perf_counter
    begun = now()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return now() - begun


def compare(rows: int, tokens: int, width: int, heads: int, device: str, turns: int) -> list[float]:
    """Median seconds: three products and one, without attention; then both with it."""
    dtype = torch.float32 if device == "cpu" else torch.float16
    x = torch.randn(rows, tokens, width, device=device, dtype=dtype)
    three = [torch.randn(width, width, device=device, dtype=dtype) * width**-0.5 for _ in "qkv"]
    one = torch.cat(three)
    works: list[Callable[[], object]] = [
        lambda: [functional.linear(x, weight) for weight in three],
        lambda: functional.linear(x, one).chunk(3, -1),
        lambda: attended(*(functional.linear(x, weight) for weight in three), heads),  # type: ignore[call-arg]
        lambda: attended(*functional.linear(x, one).chunk(3, -1), heads),
    ]
    taken = [[seconds(work, device) for work in works] for _ in range(turns + 1)][1:]
    return [float(value) for value in np.median(np.array(taken), 0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {options.device}, median of {options.turns}; milliseconds")
    with torch.no_grad():
        for name, size in SIZES.items():
            a, b, c, d = (1000 * s for s in compare(*size, options.device, options.turns))
            products, whole = (f"{old:7.1f} -> {new:7.1f} ({new / old:.2f})" for old, new in ((a, b), (c, d)))
            print(f"{name:26s} products {products}   with attention {whole}", flush=True)


if __name__ == "__main__":
    main()
