"""Compares ways to train text to image for some minutes each: AdamW alone, with the parts head, with Muon, with both.

Every arm and seed gets the same time; steps are set by the measured time of a step. Finished ones are not run again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch

from motionkit.errors import in_one_line
from motionkit.training.loop import Loop, arguments
from motionkit.training.recipes.pocket_sd import build, make_loss, recipe
from motionkit.training.recipes.stage import SET
from motionkit.training.recipes.text_figures import x0_errors

ARMS = {  # parts head, Muon, batch
    "A1 plain": (False, False, 16),
    "A6 parts": (True, False, 16),
    "A7 muon": (False, True, 16),
    "A7 muon, batch 32": (False, True, 32),
    "C both": (True, True, 16),
}


def run_arm(name: str, seed: int, seconds: float, folder: Path, base: Path) -> dict[str, float]:
    """Train one arm for about that time on one thread; returns its results."""
    head, muon, batch = ARMS[name]
    place = folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}"

    def loop_of(steps: int, at: Path) -> Loop:
        model, vae, tokenizer = build(base, seed, head, "cpu")
        loss = make_loss(model, vae, tokenizer, batch, seed, "cpu")
        settings = recipe(at, steps, 1e-3, muon, ema=0.995, warmup=60, decay=None, log_every=20)
        return Loop(model, loss, settings)

    probe = loop_of(100_000, place / "probe")
    probe.run(until=3)
    begun = time.monotonic()
    probe.run(until=9)
    each = (time.monotonic() - begun) / 6.5  # saving at the end counts as half a step
    (place / "probe" / "last.pt").unlink()
    loop = loop_of(max(20, int(seconds / each)), place)
    trained = loop.run()
    _, vae, tokenizer = build(base, seed, head, "cpu")
    found = {"steps": loop.step, "samples": loop.step * batch, "seconds": round(loop.seconds)}
    return found | x0_errors(trained, vae, tokenizer)


def main() -> None:
    """Command line: runs the arms that have no result yet."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/arms-text", 0, 1e-3)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--arms", nargs="+", default=["A1 plain", "A6 parts", "A7 muon"], choices=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--base", type=Path, default=SET / "pocket-sd")
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = args.folder / "results.json"
    args.folder.mkdir(parents=True, exist_ok=True)
    results = json.loads(file.read_text()) if file.exists() else {}
    for seed in args.seeds:
        for name in args.arms:
            key = f"{name}, seed {seed}"
            if key not in results:
                results[key] = run_arm(name, seed, args.seconds, args.folder, args.base)
                file.write_text(json.dumps(results, indent=1) + "\n")
                print(key, results[key], flush=True)


if __name__ == "__main__":
    in_one_line(main)
