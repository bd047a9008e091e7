"""Trains the judges of the sprite world: `python -m motionkit.training.recipes.judges pose|scorer`."""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.nn.functional as F

from motionkit.errors import UserError, in_one_line
from motionkit.metrics.judges import PoseNet, ScoreNet, weights_path
from motionkit.sprites import BIPEDS, COLOURS, QUADRUPEDS, SpriteClip
from motionkit.sprites.kinds import BACKGROUNDS
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.training.recipes.sprite_batches import clips, pixels
from motionkit.weights.small_nets import save_net

GROUPS = {"kind": [*QUADRUPEDS, *BIPEDS], "colour": list(COLOURS), "background": list(BACKGROUNDS)}


def spoil(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add blur and noise like generated frames' to two thirds of the batch (in [0, 1])."""
    third = len(x) // 3
    small = F.interpolate(x[:third], scale_factor=0.4, mode="bilinear", antialias=True)
    soft = F.interpolate(small, size=x.shape[-2:], mode="bilinear")
    noisy = x[third : 2 * third] + 0.06 * torch.randn(x[third : 2 * third].shape, generator=generator)
    return torch.cat([soft, noisy, x[2 * third :]]).clamp(0, 1)


def true_points(data: list[SpriteClip]) -> torch.Tensor:
    """(B, 12, 2) in [-1, 1]."""
    return torch.from_numpy(np.stack([c.keypoints[0] for c in data])).float() * 2 / (data[0].size - 1) - 1


def true_labels(data: list[SpriteClip]) -> dict[str, torch.Tensor]:
    """Label indices (B,) of each group."""
    c = [d.character for d in data]
    names = {"kind": [x.kind for x in c], "colour": [x.colour for x in c], "background": [x.background for x in c]}
    return {g: torch.tensor([GROUPS[g].index(n) for n in names[g]]) for g in GROUPS}


def make_loss(net: PoseNet | ScoreNet, batch: int, seed: int, device: str) -> LossFn:
    """L1 on points, or cross-entropy on every group."""

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        data = clips("judges", seed, step, batch, split="judge")
        x = spoil((pixels(data) + 1) / 2, torch.Generator().manual_seed(seed * 1_000_003 + step)).to(device)
        with torch.autocast(device, torch.bfloat16):
            out = net(x)
        if isinstance(net, PoseNet):
            value = true_points(data).to(device)
            return (out[0] - value).abs().mean() * 10, {"px": (out[0] - value).norm(dim=-1).mean().item() * 63.5}
        labels = {g: v.to(device) for g, v in true_labels(data).items()}
        total = sum(F.cross_entropy(out[g], labels[g]) for g in GROUPS)
        right = {f"right_{g}": (out[g].argmax(-1) == labels[g]).float().mean().item() for g in GROUPS}
        return total, right

    return loss


@torch.no_grad()
def evaluate(net: PoseNet | ScoreNet, count: int = 200) -> dict[str, float]:
    """Error on held-out characters."""
    data = clips("judges", 4242, 0, count, split="test")
    out = net((pixels(data) + 1) / 2)
    if isinstance(net, PoseNet):
        error = (out[0] - true_points(data)).norm(dim=-1) * 63.5
        return {
            "mean_px": error.mean().item(),
            "median_px": error.median().item(),
            "pck_6px": (error < 6).float().mean().item(),
            "n": count,
        }
    labels = true_labels(data)
    return {g: (out[g].argmax(-1) == labels[g]).float().mean().item() for g in GROUPS} | {"n": count}


def main() -> None:
    """Command line: trains one judge, measures its error, exports it."""
    if len(sys.argv) < 2 or sys.argv[1] not in ("pose", "scorer"):
        raise UserError("say which judge to train: pose or scorer")
    name = sys.argv.pop(1)
    args = arguments(__doc__.splitlines()[0], f"runs/train/{name}", 1300, 3e-3).parse_args()
    torch.manual_seed(args.seed + 10)
    config: dict = {"points": 12} if name == "pose" else {"groups": GROUPS}
    net = (PoseNet(**config) if name == "pose" else ScoreNet(**config)).to(args.device)
    loop = Loop(
        net,
        make_loss(net, args.batch or 24, args.seed + 5, args.device),
        LoopSettings(args.folder, args.steps, args.lr, ema=0.998),
    )
    trained = loop.run().cpu()
    figures = evaluate(trained)
    save_net(args.out or weights_path(name), trained, config, figures)
    write_record(args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds, "figures": figures})
    print(figures)


if __name__ == "__main__":
    in_one_line(main)
