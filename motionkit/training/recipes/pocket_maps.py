"""Trains the network that gives mask, depth order and part correspondence of sprite-like frames.

    python -m motionkit.training.recipes.pocket_maps [--steps N] [--settings easy wild]

Frames of the train split in the settings asked for, letters and the flag among them, some with a second character;
turned, scaled, mirrored, barred, recoloured, blurred and noisy. The renderer gives the true answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.errors import in_one_line
from motionkit.perception.pocket_maps import SIZE, MapsNet, weights_path
from motionkit.sprites import LETTERS, TRAIN_KINDS, SpriteClip, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.pocket_maps_figures import evaluate
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights.small_nets import save_net

SETTINGS = ("easy", "full")  # what the shipped weights were trained on; `--settings` names others
SHEETS = 0.2  # share of letters and flags
SECOND = 0.12  # share of frames with a second character
WEIGHT = {"mask": 1.0, "part": 0.5, "place": 3.0, "depth": 2.0}
Sample = tuple[np.ndarray, np.ndarray]  # frame (H, W, 3) uint8; truth (H, W, 4): part + 1, depth, along, across


def truth_of(clip: SpriteClip, frame: int = 0) -> np.ndarray:
    """(H, W, 4) float32: part + 1 (0 is background), depth, place along and across the part."""
    part = clip.parts[frame].astype(np.float32) + 1
    return np.concatenate(
        [part[..., None], clip.depth[frame][..., None], clip.correspondence[frame][..., 1:]], -1, dtype=np.float32
    )


def draw(rng: np.random.Generator, split: str = "train", settings: Sequence[str] = SETTINGS) -> SpriteClip:
    """One frame of a random character of the split, in one of the settings."""
    setting = str(rng.choice(settings))
    kinds = [*LETTERS, "flag", "flag"] if rng.uniform() < SHEETS else TRAIN_KINDS
    return render_clip(random_character(rng, split, setting, kinds), random_motion(rng, split), 1, SIZE)


def place(sample: Sample, rng: np.random.Generator) -> Sample:
    """A sample turned, scaled, mirrored and shifted; half of them stay as they are."""
    if rng.uniform() < 0.5:
        return sample
    turn = float(rng.normal(0, 0.25)) if rng.uniform() < 0.8 else float(rng.uniform(-np.pi, np.pi))
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.25))))
    mirror = -1.0 if rng.uniform() < 0.25 else 1.0
    c, s, mid = scale * np.cos(turn), scale * np.sin(turn), (SIZE - 1) / 2
    linear = np.array([[c, -s], [s, c]]) * [mirror, 1.0]
    shift = mid - linear @ [mid, mid] + rng.uniform(-0.12, 0.12, 2) * SIZE
    m = np.concatenate([linear, shift[:, None]], 1)  # (2, 3)
    frame = cv2.warpAffine(sample[0], m, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return frame, cv2.warpAffine(sample[1], m, (SIZE, SIZE), flags=cv2.INTER_NEAREST)


def behind(front: Sample, back: Sample, rng: np.random.Generator) -> Sample:
    """The front character before the other one's picture, moved aside so that both are seen."""
    aside = float(rng.uniform(0.25, 0.5) * SIZE) * (1 if rng.uniform() < 0.5 else -1)
    scale = float(rng.uniform(0.45, 0.8))
    low = (SIZE - 1) * (1 - scale) * 0.87  # its feet stay on the ground
    m = np.array([[scale, 0, (SIZE - 1) / 2 * (1 - scale) + aside], [0, scale, low]])
    frame = cv2.warpAffine(front[0], m, (SIZE, SIZE), flags=cv2.INTER_AREA)
    truth = cv2.warpAffine(front[1], m, (SIZE, SIZE), flags=cv2.INTER_NEAREST)
    on = truth[..., :1] > 0
    return np.where(on, frame, back[0]), np.where(on, truth, back[1])


def bars(sample: Sample, rng: np.random.Generator) -> Sample:
    """Letterbox bars of one colour over an eighth of the samples."""
    if rng.uniform() > 0.125:
        return sample
    frame, truth = sample[0].copy(), sample[1].copy()
    colour, thick = int(rng.choice([0, 0, 128, 255])), int(rng.integers(4, 24))
    across = rng.uniform() < 0.5
    for cut in (slice(0, thick), slice(SIZE - thick, SIZE)):
        at = (cut, slice(None)) if across else (slice(None), cut)
        frame[at], truth[at] = colour, 0
    return frame, truth


def spoil(x: Tensor, generator: torch.Generator) -> Tensor:
    """Frames (B, 3, H, W) in [0, 1] recoloured, blurred and noisy, each in its own measure; some stay clean."""
    b, side = len(x), x.shape[-1]

    def some(share: float, most: float, *shape: int) -> Tensor:
        on = torch.rand(b, 1, 1, 1, generator=generator) < share
        return on * most * (2 * torch.rand(b, *(shape or (1, 1, 1)), generator=generator) - 1)

    x = (x * (1 + some(0.5, 0.2, 3, 1, 1)) + some(0.5, 0.08, 3, 1, 1)).clamp(1e-3, 1)
    x = x ** (1 + some(0.4, 0.35))
    factor = float(torch.empty(()).uniform_(0.35, 0.75, generator=generator))
    small = F.interpolate(x, scale_factor=factor, mode="bilinear", antialias=True)
    soft = F.interpolate(small, (side, side), mode="bilinear")
    x = x + some(0.5, 1.0).abs() * (soft - x)
    x = x + some(0.4, 0.06).abs() * torch.randn(x.shape, generator=generator)
    return x.clamp(0, 1)


def batch_of(
    seed: int, step: int, count: int, split: str = "train", settings: Sequence[str] = SETTINGS
) -> tuple[Tensor, Tensor]:
    """Frames (B, 3, H, W) in [0, 1] and their truth (B, 4, H, W) as in `truth_of`."""
    rng = rng_of("pocket maps", seed, step, split)
    samples = []
    for _ in range(count):
        clip = draw(rng, split, settings)
        sample = (clip.frames[0], truth_of(clip))
        if rng.uniform() < SECOND:
            other = draw(rng, split, settings)
            sample = behind((other.frames[0], truth_of(other)), sample, rng)
        samples.append(bars(place(sample, rng), rng))
    frames = torch.from_numpy(np.stack([f for f, _ in samples])).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)
    truth = torch.from_numpy(np.stack([t for _, t in samples])).permute(0, 3, 1, 2)  # (B, 4, H, W)
    return spoil(frames, torch.Generator().manual_seed(seed * 1_000_003 + step)), truth


def loss_of(said: tuple[Tensor, Tensor, Tensor, Tensor], truth: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of mask and part, L1 of place and depth; all but the mask on true subject pixels only."""
    mask, depth, part, where = said
    on = truth[:, 0] > 0.5
    code = truth[:, 0][on].round().long() - 1  # (n,)
    logits = part.movedim(1, -1)[on]  # (n, 12)
    # Borders count more: half of a thin limb is border.
    subject = on.float()[:, None]
    edge = F.max_pool2d(subject, 3, 1, 1) + F.max_pool2d(-subject, 3, 1, 1)
    losses = {
        "mask": F.binary_cross_entropy_with_logits(mask, subject[:, 0], 1 + 2 * edge[:, 0]),
        "part": F.cross_entropy(logits, code),
        "place": (where.movedim(1, -1)[on] - truth[:, 2:].movedim(1, -1)[on]).abs().mean(),  # of (n, 2)
        "depth": (depth[on] - truth[:, 1][on]).abs().mean(),
    }
    total = sum((WEIGHT[k] * v for k, v in losses.items()), torch.zeros((), device=truth.device))
    inside = mask > 0
    logs = {k: v.item() for k, v in losses.items()} | {
        "iou": ((inside & on).sum() / (inside | on).sum().clamp_min(1)).item(),
        "right": (logits.argmax(-1) == code).float().mean().item(),
    }
    return total, logs


def make_loss(net: MapsNet, batch: int, seed: int, device: str, settings: Sequence[str] = SETTINGS) -> LossFn:
    """The loss of one step, the network in bf16."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        x, truth = (v.to(device) for v in batch_of(seed, step, batch, settings=settings))
        with torch.autocast(device, torch.bfloat16):
            said = net(x.contiguous(memory_format=torch.channels_last))
        return loss_of(said, truth)

    return loss


def is_matrix(name: str) -> bool:
    """Whether Muon trains that weight, if it has two or more dimensions: all but the first and the last layer."""
    return not name.startswith(("at64.1", "head.1"))


def main() -> None:
    """Command line: trains; hands over an unfinished training, or measures and exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-maps", 1700, 3e-3)
    stage_arguments(parser)
    parser.add_argument("--muon", action="store_true", help="Muon trains all but the first layer and the head")
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), help="settings of the world, drawn evenly")
    args = parser.parse_args()
    torch.manual_seed(args.seed + 30)
    net = MapsNet().to(args.device, memory_format=torch.channels_last)
    batch = args.batch or 16
    settings = LoopSettings(args.folder, args.steps, args.lr, ema=0.997, second=args.second)
    if args.muon:
        settings = replace(settings, muon=is_matrix, clip=float("inf"), decay=0.4)
    loop = Loop(net, make_loss(net, batch, args.seed + 9, args.device, args.settings), settings)
    out = args.out or args.set / "perception" / weights_path().name

    def finished(trained: MapsNet) -> dict[str, Any]:
        trained = trained.float().cpu()
        figures = evaluate(trained)
        save_net(out, trained, {}, figures)
        return figures

    run_stage(loop, args, finished, {"batch": batch, "lr": args.lr, "settings": args.settings})


if __name__ == "__main__":
    in_one_line(main)
