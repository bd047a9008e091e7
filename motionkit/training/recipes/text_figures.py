"""Measures `pocket-sd`: error of x0 by noise level, kinds and colours by the scorer, sharpness, and a sheet."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler
from PIL import Image
from torch import Tensor
from transformers import CLIPTokenizer

from motionkit.errors import in_one_line
from motionkit.metrics import scorer
from motionkit.sprites.kinds import article
from motionkit.sprites.world import DOING, SpriteClip
from motionkit.training.recipes.captioned import encoded, subject_cells, words
from motionkit.training.recipes.pocket_sd import SCHEDULE, TextToImage
from motionkit.training.recipes.sprite_batches import clips, pixels
from motionkit.training.recipes.stage import SET

SIGMAS = (0.8, 2.0, 5.0)  # noise over signal
GUIDANCE, STEPS = 3.0, 25


def full_caption(clip: SpriteClip) -> str:
    """The most complete caption of a picture."""
    c = clip.character
    return f"{article(c.colour)} {c.colour} {c.kind} {DOING[clip.motion.name]} on {c.background}"


@torch.no_grad()
def x0_errors(
    model: TextToImage, vae: AutoencoderKL, tokenizer: CLIPTokenizer, count: int = 128, chunk: int = 32
) -> dict[str, float]:
    """Errors of x0 (see `clean_errors`) on characters that training does not show, with full captions."""
    data = clips("x0", 7, 0, count, split="val")
    z, near = encoded(vae, np.stack([c.frames[0] for c in data])), subject_cells(data)
    ids = words(tokenizer, [full_caption(c) for c in data])

    def predict(noisy: Tensor, t: Tensor, part: slice) -> Tensor:
        return model(noisy, t, ids[part])

    return clean_errors(predict, z, near, chunk)


@torch.no_grad()
def clean_errors(
    predict: Callable[[Tensor, Tensor, slice], Tensor],
    z: Tensor,
    near: Tensor,
    chunk: int = 32,
    unit: float | None = None,
) -> dict[str, float]:
    """Mean squared error of the clean latents that v stands for, over the subject's cells, relative to the variance.

    At several noise levels, always with the same noise.

    Args:
        predict: v of noisy latents (b, 4, h, w) at steps (b,), for that slice of the batch.
        z: (B, 4, h, w).  near: (B, 1, h, w), the subject's cells.
        unit: the variance; None takes that of `z` itself, channel by channel, which is another for other pictures.
    """
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(7))
    spread = z.var((0, 2, 3), keepdim=True) if unit is None else unit  # (1, 4, 1, 1)
    alphas = DDIMScheduler(**SCHEDULE).alphas_cumprod
    out = {}
    for sigma in SIGMAS:
        t = int(((1 - alphas) / alphas).sqrt().sub(sigma).abs().argmin())
        a = alphas[t]
        noisy, found = a.sqrt() * z + (1 - a).sqrt() * noise, []
        for k in range(0, len(z), chunk):
            part = slice(k, k + chunk)
            with torch.autocast("cpu", torch.bfloat16):
                v = predict(noisy[part], torch.full((len(noisy[part]),), t), part).float()
            found.append(a.sqrt() * noisy[part] - (1 - a).sqrt() * v)
        error = (torch.cat(found) - z).square() / spread
        out[f"x0_{sigma:g}"] = ((error * near).sum() / (near.sum() * z.shape[1])).item()
    return out


@torch.no_grad()
def sample(model: TextToImage, vae: AutoencoderKL, tokenizer: CLIPTokenizer, said: list[str], seed: int = 0) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] for captions, with guidance."""
    scheduler = DDIMScheduler(**SCHEDULE, timestep_spacing="trailing")
    scheduler.set_timesteps(STEPS)
    x = torch.randn(len(said), 4, 32, 32, generator=torch.Generator().manual_seed(seed))
    ids = words(tokenizer, [*said, *[""] * len(said)])
    for t in scheduler.timesteps:
        with torch.autocast("cpu", torch.bfloat16):
            v = model(torch.cat([x, x]), t.expand(2 * len(x)), ids).float()
        told, blank = v.chunk(2)
        x = scheduler.step(blank + GUIDANCE * (told - blank), t, x).prev_sample
    return decoded(vae, x)


@torch.no_grad()
def decoded(vae: AutoencoderKL, z: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] of latents (B, 4, h, w)."""
    patch = int((vae.config.out_channels // 3) ** 0.5)
    found = [vae.decode(part / vae.config.scaling_factor).sample for part in z.split(16)]
    return F.pixel_shuffle(torch.cat(found), patch).clamp(-1, 1)


def subject_gradient(x: Tensor) -> Tensor:
    """Mean gradient (B,) of pictures (B, 3, H, W) around what is not background (the first pixel's colour)."""
    other = ((x - x[..., :1, :1]).abs().amax(1, True) > 0.15).float()
    near = F.max_pool2d(other, 9, 1, 4)  # (B, 1, H, W)
    across = (x[..., 1:] - x[..., :-1]).abs().mean(1, True) * near[..., 1:]
    down = (x[..., 1:, :] - x[..., :-1, :]).abs().mean(1, True) * near[..., 1:, :]
    return (across.sum((1, 2, 3)) + down.sum((1, 2, 3))) / near.sum((1, 2, 3)).clamp(min=1)


def grid(x: Tensor, columns: int = 8) -> Image.Image:
    """A sheet of pictures (B, 3, H, W) in [-1, 1], row by row."""
    rows = [torch.cat(list(part), -1) for part in x.split(columns)]
    whole = F.pad(torch.cat([F.pad(r, (0, columns * x.shape[-1] - r.shape[-1]), value=1.0) for r in rows], 1), (0, 0))
    return Image.fromarray(((whole.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy())  # (H, W, 3)


def figures(
    model: TextToImage, vae: AutoencoderKL, tokenizer: CLIPTokenizer, count: int = 32, sheet: Path | None = None
) -> dict[str, float]:
    """The results for the gate: errors of x0, shares of correct kinds and colours, sharpness over the truth's."""
    data = clips("sheet", 11, 0, count, split="val")
    made = sample(model, vae, tokenizer, [full_caption(c) for c in data])
    seen = scorer.classify(((made.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy())  # of (B, H, W, 3)
    out = x0_errors(model, vae, tokenizer)
    for group in ("kind", "colour"):
        out[group] = sum(s[group] == getattr(c.character, group) for s, c in zip(seen, data, strict=True)) / count
    out["gradient"] = (subject_gradient(made).mean() / subject_gradient(pixels(data)).mean()).item()
    if sheet:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        grid(made).quantize(256).save(sheet, optimize=True)
    return out


def main() -> None:
    """Command line: figures and a sheet of a finished folder, a checkpoint or handed-over files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, default=SET)
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/pocket/pocket-sd/last.pt"))
    parser.add_argument("--sheet", type=Path, default=Path("runs/pocket/pocket-sd/sheet.png"))
    parser.add_argument("--count", type=int, default=32)
    args = parser.parse_args()
    from motionkit.training.recipes.pocket_sd import build

    model, vae, tokenizer = build(args.set / "pocket-sd", 0, False, "cpu")
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(state["ema"])
    found = figures(model.eval(), vae, tokenizer, args.count, args.sheet)
    print(json.dumps({"step": state["step"], "seconds": round(state["seconds"]), **found}))


if __name__ == "__main__":
    in_one_line(main)
