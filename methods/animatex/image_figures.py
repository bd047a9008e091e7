"""Evaluates the image network on held-out sprites: PSNR, keypoints, and a sheet to look at."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor

from motionkit.errors import in_one_line
from motionkit.perception.pose import PoseSettings, read_poses
from motionkit.training.recipes.picture_figures import against_truth
from motionkit.training.recipes.pocket_sd import SCHEDULE
from motionkit.training.recipes.stage import SET
from motionkit.training.recipes.text_figures import clean_errors, decoded, grid

from .image_batches import MOMENTS, ImagePairs, Pairs, skeleton
from .image_net import ImageNet
from .image_stage import build, conditions

STEPS = 12


@torch.no_grad()
def sample(net: ImageNet, data: Pairs, seed: int = 0, steps: int = STEPS) -> Tensor:
    """Latents (B, 4, h, w) from noise, without guidance."""
    scheduler = DDIMScheduler(**SCHEDULE, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    x = torch.randn(data.clean.shape, generator=torch.Generator().manual_seed(seed))
    with torch.autocast("cpu", torch.bfloat16):
        beside, context = conditions(net, data)
    for t in scheduler.timesteps:
        with torch.autocast("cpu", torch.bfloat16):
            v = net(x, t.expand(len(x)), beside, context).float()
        x = scheduler.step(v, t, x).prev_sample
    return x


def compared(made: Tensor, data: Pairs) -> dict[str, float]:
    """Figures of pictures (B, 3, H, W) in [-1, 1] beside the truth."""
    return against_truth(made, data.target * 2 - 1, data.mask, data.keypoints)


def estimated(data: Pairs) -> Pairs:
    """The pairs with the poses that the pocket's estimator finds; where it finds nobody, a blank picture."""

    def found(pictures: Tensor) -> Tensor:
        frames = (pictures.permute(0, 2, 3, 1) * 255).round().byte().numpy()  # (B, H, W, 3)
        poses = [read_poses(f[None], PoseSettings(), pocket=True, required=False) for f in frames]
        drawn = np.concatenate([skeleton(p) for p in poses])  # (B, H, W, 3)
        return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)

    return replace(data, pose=found(data.target), reference_pose=found(data.reference))


def first_of_each(data: Pairs) -> Pairs:
    """One pair of each clip: four of one character would weigh it four times."""
    return Pairs(*(getattr(data, f.name)[::MOMENTS] for f in fields(Pairs)))


def figures(
    net: ImageNet, vae: AutoencoderKL, count: int = 64, sheet: Path | None = None, seed: int = 5, estimate: bool = False
) -> dict[str, dict[str, float]]:
    """Errors of x0, and figures of the network, of the reference standing still, of the truth through the autoencoder.

    `count` characters, one pair of each, from true poses or from estimated ones. The errors' unit is the variance that
    latents have over many characters, 1 by the autoencoder's own scale.
    """
    pairs = ImagePairs(vae, seed, 16 * MOMENTS, "image figures", "val")
    parts = [first_of_each(pairs.at(step)) for step in range(count // 16)]
    parts = [estimated(p) if estimate else p for p in parts]
    data = Pairs(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Pairs)))
    made = decoded(vae, torch.cat([sample(net, p, seed=k) for k, p in enumerate(parts)]))
    with torch.autocast("cpu", torch.bfloat16):
        beside, context = conditions(net, data)
    errors = clean_errors(lambda x, t, part: net(x, t, beside[part], context[part]), data.clean, data.near, unit=1)
    if sheet:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        pick = torch.arange(0, count, max(1, count // 12))[:12]
        rows = torch.cat([data.reference[pick] * 2 - 1, data.target[pick] * 2 - 1, made[pick]])
        grid(rows, len(pick)).quantize(256).save(sheet, optimize=True)
    still, coded = data.reference * 2 - 1, decoded(vae, data.clean)
    shown = {"net": made, "still": still, "autoencoder": coded}
    return {"x0": errors, **{name: compared(x, data) for name, x in shown.items()}}


def main() -> None:
    """Command line: figures and a sheet of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, default=SET)
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/pocket/pose-image/last.pt"))
    parser.add_argument("--sheet", type=Path, default=Path("runs/pocket/pose-image/sheet.png"))
    parser.add_argument("--estimate", action="store_true", help="with estimated poses, as in use")
    parser.add_argument("--count", type=int, default=64)
    args = parser.parse_args()
    net, vae = build(args.set / "pocket-sd", 0)
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    net.load_state_dict(state["ema"])
    found = figures(net.eval(), vae, args.count, args.sheet, estimate=args.estimate)
    print(json.dumps({"step": state["step"], "seconds": round(state["seconds"]), **found}))


if __name__ == "__main__":
    in_one_line(main)
