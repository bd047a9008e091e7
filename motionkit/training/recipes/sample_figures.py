"""Measures `pocket-sd`: its autoencoder on held-out characters, and samples judged against their captions.

    python -m motionkit.training.recipes.sample_figures --captions 100 --seed 0 [--sheet samples.png]

Captions name a kind and a colour that training showed; the judge is the sprite classifier, whose own accuracy on true
pictures is printed beside. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motionkit.backbones import load
from motionkit.backbones.base import VideoBackbone
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import make_sampler
from motionkit.errors import in_one_line
from motionkit.media import write_image
from motionkit.metrics import bootstrap_interval, psnr, scorer
from motionkit.settings.gpu import Plan
from motionkit.sprites import COLOURS, TRAIN_KINDS
from motionkit.sprites.kinds import rng_of
from motionkit.training.sprite_batches import clips

AT_ONCE = 20  # captions of one batch, which decides their noise


def captions(count: int, seed: int) -> list[tuple[str, str]]:
    """Kind and colour of each caption, every kind equally often."""
    rng = rng_of("pocket-sd captions", seed)
    return [(TRAIN_KINDS[i % len(TRAIN_KINDS)], str(rng.choice(list(COLOURS)))) for i in range(count)]


@torch.no_grad()
def draw(backbone: VideoBackbone, prompts: list[str], seed: int, steps: int, scale: float) -> np.ndarray:
    """One picture for each prompt (N, H, W, 3) uint8."""
    side = backbone.spec.default_size
    shape = (len(prompts), *backbone.latent_shape(1, side, side))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))  # (N, C, 1, h, w)
    model = text_model(backbone.denoise, backbone.encode_text(prompts), backbone.encode_text([""] * len(prompts)))
    sampler = make_sampler(backbone)
    latents = denoise(model, sampler, noise, sampler.grid(steps), Guidance(scale, batched=True))
    return _pixels(backbone.decode(latents[:, :, 0]))


@torch.no_grad()
def through_autoencoder(backbone: VideoBackbone, frames: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 encoded and decoded."""
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)
    return _pixels(backbone.decode(backbone.encode(x)))


def _pixels(frames: torch.Tensor) -> np.ndarray:
    return (frames.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()  # (F, H, W, 3)


def figures(
    backbone: VideoBackbone, count: int, seed: int, steps: int, guidance: float, sheet: Path | None = None
) -> dict:
    """PSNR of the autoencoder on 64 held-out pictures with its interval, and shares of correct kinds and colours."""
    truth = np.stack(
        [c.frames[0] for c in clips("pocket bench", seed, 0, 64, size=backbone.spec.default_size, split="test")]
    )
    back = through_autoencoder(backbone, truth)
    bound = bootstrap_interval([psnr(a[None], b[None]) for a, b in zip(back, truth, strict=True)])
    asked, drawn = captions(count, seed), []
    for i in range(0, len(asked), AT_ONCE):
        prompts = [f"a {colour} {kind}" for kind, colour in asked[i : i + AT_ONCE]]
        drawn.append(draw(backbone, prompts, seed + i, steps, guidance))
    pictures = np.concatenate(drawn)  # (N, H, W, 3)
    if sheet:
        write_image(sheet, _sheet(pictures))
    seen = scorer.classify(pictures)
    kind = [s["kind"] == k for s, (k, _) in zip(seen, asked, strict=True)]
    colour = [s["colour"] == c for s, (_, c) in zip(seen, asked, strict=True)]
    by_kind = {k: round(float(np.mean(found)), 2) for k in TRAIN_KINDS if (found := _of(kind, asked, k))}
    return {
        "n": len(asked),
        "autoencoder_psnr": [round(float(v), 2) for v in (bound.mean, bound.low, bound.high)],
        "kind_right": float(np.mean(kind)),
        "kind_right_by": by_kind,
        "colour_right": float(np.mean(colour)),
        "both_right": float(np.mean([a and b for a, b in zip(kind, colour, strict=True)])),
    }


def _of(right: list[bool], asked: list[tuple[str, str]], kind: str) -> list[bool]:
    return [one for one, (name, _) in zip(right, asked, strict=True) if name == kind]


def _sheet(pictures: np.ndarray, columns: int = len(TRAIN_KINDS), most: int = 66) -> np.ndarray:
    """Pictures (N, H, W, 3) in rows with a column for each kind; a last row that is not full is left out."""
    count = max(columns * (min(len(pictures), most) // columns), min(len(pictures), columns))
    rows = [np.concatenate(list(row), 1) for row in np.split(pictures[:count], max(1, count // columns))]
    return np.concatenate(rows, 0)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--captions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--backbone", default="pocket-sd")
    parser.add_argument("--path", default=None, help="a folder with the backbone's weights (default: the shipped ones)")
    parser.add_argument("--sheet", type=Path, default=None)
    args = parser.parse_args(argv)
    backbone = load(args.backbone, Plan(), path=args.path)
    found = figures(backbone, args.captions, args.seed, args.steps, args.guidance, args.sheet)
    found |= {"judge_accuracy": scorer.stated_accuracy(), "steps": args.steps, "guidance": args.guidance}
    print(json.dumps(found))
    return found


if __name__ == "__main__":
    in_one_line(main)
