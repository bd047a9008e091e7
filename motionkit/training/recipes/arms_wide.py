"""A wider image UNet with attention at its coarsest level only, against pocket-sd after the same core-seconds.

`python -m motionkit.training.recipes.arms_wide --seconds 7200` resumes; both have a constant rate. Both see the same
pictures and noises at the same steps; the training error of v is compared after the same time.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch

from motionkit.errors import in_one_line
from motionkit.training.command import write_record
from motionkit.training.loop import Loop, stoppable
from motionkit.training.recipes.pocket_sd import NOISES, UNET, build, make_loss, recipe
from motionkit.training.recipes.stage import SET
from motionkit.training.recipes.text_figures import x0_errors

WIDE = UNET | dict(
    block_out_channels=(64, 128, 256),
    down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    attention_head_dim=(4, 8, 16),
)
LINES = 10  # of a curve, whose mean is compared


def error_at(curve: Path, seconds: float) -> float | None:
    """Mean error of v in the last lines of a curve before that time; None where the curve is shorter."""
    rows = list(csv.DictReader(curve.read_text().splitlines())) if curve.is_file() else []
    if not rows or float(rows[-1]["seconds"]) < 0.98 * seconds:
        return None
    before = [float(row["mse"]) for row in rows if float(row["seconds"]) <= seconds]
    return float(np.mean(before[-LINES:])) if before else None


def main() -> None:
    """Command line: trains the wide one for so long in all, and prints and records both rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=7200.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/pocket/arms-wide"))
    parser.add_argument("--other", type=Path, default=Path("runs/pocket/pocket-sd"), help="the training compared with")
    parser.add_argument("--set", type=Path, default=SET)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=17_200, help="of the whole training: the rate stays constant here")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, vae, tokenizer = build(args.set / "pocket-sd", args.seed, False, "cpu", WIDE)
    loss = make_loss(model, vae, tokenizer, args.batch, args.seed, "cpu", 0, min(NOISES, args.batch))
    loop = Loop(model, loss, recipe(args.folder, args.steps, 1e-3, log_every=20))

    def before(step: int) -> None:
        loop.stopping = loop.stopping or loop.seconds >= args.seconds

    loop.before = before
    with stoppable(loop):
        trained = loop.run()
    found = {
        "parameters": sum(p.numel() for p in model.unet.parameters()),
        "steps": loop.step,
        "seconds": round(loop.seconds),
        "mse": error_at(args.folder / "curve.csv", loop.seconds),
        "pocket-sd: mse": error_at(args.other / "curve.csv", loop.seconds),
        **x0_errors(trained, vae, tokenizer),
    }
    if (state := args.other / "last.pt").is_file():
        held = torch.load(state, map_location="cpu", weights_only=True)
        base = build(args.set / "pocket-sd", args.seed, False, "cpu")[0]
        base.load_state_dict(held["ema"])
        errors = x0_errors(base.eval(), vae, tokenizer)
        found |= {f"pocket-sd after {held['seconds']:.0f} s: {name}": value for name, value in errors.items()}
    write_record(args.set / "records" / "arms-wide.json", found)
    print(json.dumps(found))


if __name__ == "__main__":
    in_one_line(main)
