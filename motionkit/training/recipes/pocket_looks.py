"""Trains the network that recognises the character in a frame: `python -m motionkit.training.recipes.pocket_looks`.

Two moments of one character belong together, those of any other, of its kind and colour too, do not. Characters of the
`easy` and the `wild` setting, half of them as line drawings, spoilt as generated frames are. The judge of clips
(`clip_judge`), which measures results, is a training of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motionkit.errors import in_one_line
from motionkit.perception.pocket_networks import LooksNet, weights_path
from motionkit.sprites import SpriteClip, character, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.clip_judge import frames_of, otsu, same_or_other, spoil, wobble
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights.small_nets import save_net

SETTINGS = {"easy": 0.5, "wild": 0.5}  # shares of the pairs


def moments(seed: int, step: int, count: int, split: str = "train", settings: dict[str, float] = SETTINGS) -> list:
    """`count` clips of two moments far apart, two and two of one kind, and where that can be of one colour."""
    rng = rng_of("pocket looks", seed, step, split)
    out: list[SpriteClip] = []
    for _ in range(count // 2):
        setting = str(rng.choice(list(settings), p=list(settings.values())))
        one = random_character(rng, split, setting)
        other = random_character(rng, split, setting, kinds=[one.kind])
        if setting == "easy" and rng.uniform() < 0.5:
            other = character(other.seed, one.kind, "easy", one.colour)
        for who in (one, other):
            motion = random_motion(rng, split)
            out.append(render_clip(who, replace(motion, speed=motion.speed * float(rng.uniform(1.5, 5))), 2))
    return out


def batch_of(data: list[SpriteClip], seed: int) -> tuple[Tensor, Tensor]:
    """Both moments (B, 3, 128, 128) in [0, 1]; every second pair is drawn, half of the second moments are clean."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    drawn = [i // 2 % 2 == 1 for i in range(len(data))]
    clean = torch.stack([frames_of(c, d, rng) for c, d in zip(data, drawn, strict=True)])  # (B, 2, 3, H, W)
    spoilt = [spoil(wobble(clean[:, i : i + 1], generator)[0], generator)[:, 0] for i in range(2)]  # (B, 3, H, W) each
    for i, drawing in enumerate(drawn):
        if drawing and rng.uniform() < 0.5:
            for one in spoilt:
                one[i] = otsu(one[i : i + 1])[0]
    keep = torch.from_numpy(rng.uniform(size=(len(data), 1, 1, 1)) < 0.5)
    return spoilt[0], torch.where(keep, clean[:, 1], spoilt[1])


def make_loss(net: LooksNet, batch: int, seed: int, device: str) -> LossFn:
    """InfoNCE of the two moments, both ways."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        one, two = batch_of(moments(seed, step, batch), seed * 1_000_003 + step)
        with torch.autocast(device, torch.bfloat16):
            said = net(torch.cat([one, two]).to(device))
        value = same_or_other(*said.float().chunk(2))
        first, second = said.float().chunk(2)
        right = ((first @ second.T).argmax(1) == torch.arange(batch, device=said.device)).float().mean()
        return value, {"right": right.item()}

    return loss


@torch.no_grad()
def evaluate(net: LooksNet, count: int = 200) -> dict[str, float]:
    """On characters that training does not show: how often a moment is nearer to its own other moment than to that of
    another character of its kind, in each setting; and both similarities.
    """
    out: dict[str, float] = {"n": count}
    for setting in ("easy", "wild"):
        near, far = [], []
        for part in range(0, count, 20):
            data = moments(4242, part, 20, "val", {setting: 1.0})
            one, two = (net(x) for x in batch_of(data, part))
            like = one @ two.T  # (B, B)
            near += like.diagonal().tolist()
            far += like[torch.arange(len(data)), torch.arange(len(data)) ^ 1].tolist()
        out |= {
            f"{setting}_told_apart": float(np.mean(np.array(near) > np.array(far))),
            f"{setting}_same": float(np.mean(near)),
            f"{setting}_same_kind_other": float(np.mean(far)),
        }
    return out


def is_matrix(name: str) -> bool:
    """Whether Muon trains that weight, if it has two or more dimensions: all but the first layer and the answer."""
    return not name.startswith(("trunk.stem.0.", "embed.2."))


def main() -> None:
    """Command line: trains; hands over an unfinished training, or measures and exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-looks", 2500, 2e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    torch.manual_seed(args.seed + 50)
    net, batch = LooksNet().to(args.device), args.batch or 32
    settings = LoopSettings(
        args.folder, args.steps, args.lr, ema=0.998, clip=float("inf"), muon=is_matrix, decay=0.4, second=args.second
    )
    loop = Loop(net, make_loss(net, batch, args.seed + 13, args.device), settings)
    out = args.out or args.set / "perception" / weights_path().name

    def finished(trained: LooksNet) -> dict[str, Any]:
        trained = trained.float().cpu().eval()
        figures = evaluate(trained)
        save_net(out, trained, {}, figures)
        return figures

    run_stage(loop, args, finished, {"batch": batch, "settings": SETTINGS})


if __name__ == "__main__":
    in_one_line(main)
