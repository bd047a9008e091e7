"""Compares variants of the image network's recipe at an equal number of samples.

`python -m motionkit.methods.animatex.image_arms NAME [--steps 300] [--weights FILE] [--branches] [--epi .3] ...`
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from motionkit.errors import in_one_line
from motionkit.training.loop import Loop, stoppable
from motionkit.training.recipes.pocket_sd import recipe
from motionkit.training.recipes.stage import SET

from . import image_batches, image_stage
from .image_batches import ImagePairs
from .image_figures import figures
from .image_net import ImageNet

# Convolutions that read pictures of reference and pose.
BRANCHES: dict[str, Any] = dict(folded_poses=False, concat_channels=16)


def main() -> None:
    """Command line: trains one arm by a cosine, and appends its figures to arms.jsonl in the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--count", type=int, default=8, help="pairs rendered for a step")
    parser.add_argument("--set", type=Path, default=SET)
    parser.add_argument("--folder", type=Path, default=Path("runs/pocket/arms-image"))
    parser.add_argument("--weights", type=Path, default=None, help="handed-over weights of pocket-sd to begin as")
    parser.add_argument(
        "--branches", action="store_true", help="read pictures through convolutions instead of folding them"
    )
    parser.add_argument("--epi", type=float, default=image_batches.EPI.probability, help="share of changed bodies")
    parser.add_argument("--jitter", type=float, default=image_batches.JITTER, help="pixels by which joints are moved")
    parser.add_argument("--dropped", type=float, default=image_stage.DROPPED, help="share of pairs without conditions")
    parser.add_argument("--measured", type=int, default=64)
    args = parser.parse_args()
    image_batches.EPI = replace(image_batches.EPI, probability=args.epi)
    image_batches.JITTER = args.jitter
    if args.branches:
        image_stage.POCKET_GRID = replace(image_stage.POCKET_GRID, **BRANCHES)
    net, vae = build(args.set / "pocket-sd", args.weights)
    loss = image_stage.make_loss(net, ImagePairs(vae, 0, args.count), 0, args.batch, args.dropped)
    loop = Loop(net, loss, recipe(args.folder / args.name, args.steps, 1e-3, decay=None, warmup=60, log_every=20))
    begun = time.process_time()
    with stoppable(loop):
        trained = loop.run()
    found = {"name": args.name, "samples": loop.step * args.batch, "cpu_seconds": round(time.process_time() - begun)}
    found |= figures(trained, vae, args.measured, args.folder / f"{args.name}.png")
    print(json.dumps(found))
    with (args.folder / "arms.jsonl").open("a") as out:
        out.write(json.dumps(found) + "\n")


def build(folder: Path, weights: Path | None) -> tuple[ImageNet, AutoencoderKL]:
    """The network from scratch, or begun as a handed-over, unfinished pocket-sd; and the set's autoencoder."""
    if (folder / "unet").is_dir():
        return image_stage.build(folder, 0)
    from safetensors.torch import load_file

    from motionkit.training.recipes import pocket_sd
    from motionkit.training.recipes.captioned import words
    from motionkit.weights import eight_bit

    from .image_net import begin_as

    model, vae, tokenizer = pocket_sd.build(folder, 0, False, "cpu")
    if weights:
        model.load_state_dict(eight_bit.unpack_all(load_file(weights)))
    with torch.no_grad():
        net = ImageNet(image_stage.POCKET_GRID, model.text.eval()(words(tokenizer, [""])).last_hidden_state)
    if weights:
        begin_as(net, model.unet)
    return net.to(memory_format=torch.channels_last), vae


if __name__ == "__main__":
    in_one_line(main)
