"""What the shipped `pocket-sd` can draw: autoencoder PSNR on held-out characters, and samples judged against captions.

    python benchmarks/quality_pocket_sd.py --captions 100 --seed 0 [--sheet samples.png]

Captions name a kind and a colour that training showed; the judge is the sprite classifier, whose own accuracy on true
pictures is printed beside. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from common import through_autoencoder

from motionkit.backbones import load
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.media import write_image
from motionkit.metrics import bootstrap_interval, psnr
from motionkit.metrics.scorer import classify, stated_accuracy
from motionkit.running.execute import plan_for
from motionkit.sprites import COLOURS, TRAIN_KINDS
from motionkit.sprites.kinds import rng_of
from motionkit.training.recipes.sprite_batches import clips


def captions(count: int, seed: int) -> list[tuple[str, str]]:
    """Kind and colour of each caption, every kind equally often."""
    rng = rng_of("pocket-sd captions", seed)
    return [(TRAIN_KINDS[i % len(TRAIN_KINDS)], str(rng.choice(list(COLOURS)))) for i in range(count)]


@torch.no_grad()
def draw(backbone, prompts: list[str], seed: int, steps: int, scale: float) -> np.ndarray:
    """One picture for each prompt (N, H, W, 3) uint8."""
    noise = torch.randn(len(prompts), 4, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    model = text_model(backbone.denoise, backbone.encode_text(prompts), backbone.encode_text([""] * len(prompts)))
    sampler = DDIM(backbone.scheduler)
    latents = denoise(model, sampler, noise, sampler.grid(steps), Guidance(scale, batched=True))
    frames = backbone.decode(latents[:, :, 0])
    return (frames.permute(0, 2, 3, 1) * 255).round().byte().numpy()  # (N, H, W, 3)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", "--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sheet", type=Path, default=None)
    args = parser.parse_args()
    backbone = load("pocket-sd", plan_for("cpu"))

    truth = np.stack([c.frames[0] for c in clips("pocket bench", args.seed, 0, 64, split="test")])
    y = through_autoencoder(backbone, truth)
    bound = bootstrap_interval([psnr(a[None], b[None]) for a, b in zip(y, truth, strict=True)])

    asked = captions(args.captions, args.seed)
    drawn = []
    for i in range(0, len(asked), 20):
        prompts = [f"a {c} {k}" for k, c in asked[i : i + 20]]
        drawn.append(draw(backbone, prompts, args.seed + i, args.steps, args.guidance))
        print(f"{min(i + 20, len(asked))}/{len(asked)} drawn", flush=True)
    pictures = np.concatenate(drawn)
    seen = classify(pictures)
    kind = [s["kind"] == k for s, (k, _) in zip(seen, asked, strict=True)]
    colour = [s["colour"] == c for s, (_, c) in zip(seen, asked, strict=True)]
    if args.sheet:
        shown = pictures[: 11 * (min(len(pictures), 66) // 11)]
        rows = shown.reshape(-1, 11, *shown.shape[1:])  # (R, 11, H, W, 3)
        write_image(args.sheet, np.concatenate([np.concatenate(list(r), 1) for r in rows], 0))
    for k in TRAIN_KINDS:
        print(f"  {k:10s} kind right {np.mean([a for a, (n, _) in zip(kind, asked, strict=True) if n == k]):.2f}")
    figures = {
        "n": len(asked),
        "autoencoder_psnr": [round(float(v), 2) for v in (bound.mean, bound.low, bound.high)],
        "kind_right": float(np.mean(kind)),
        "colour_right": float(np.mean(colour)),
        "both_right": float(np.mean([a and b for a, b in zip(kind, colour, strict=True)])),
        "judge_accuracy": stated_accuracy(),
        "steps": args.steps,
        "guidance": args.guidance,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
