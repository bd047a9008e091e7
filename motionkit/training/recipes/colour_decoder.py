"""Trains the pocket autoencoder's decoder further, its encoder frozen: sharper edges, also from inexact latents.

Latents stay what they are. Half of each batch is decoded from warped latents, as `pocket_vae` does, and a third from
latents with a little noise added, which is what a diffusion network leaves; the loss weighs edges and compares
gradients, which lessens the pattern of the 4-pixel patches.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from motionkit.errors import UserError, in_one_line
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.pocket_vae import PATCH, SUBJECT_WEIGHT, evaluate, psnr, random_affine, warp_both
from motionkit.training.recipes.sprite_batches import clips, masks, pixels
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights import places

ASSETS = places.PACKAGE

TRAINED = ("decoder.", "post_quant_conv.")
EDGE_WEIGHT = 8.0
GRADIENT_WEIGHT = 2.0
NOISE = 0.15  # the largest noise on a latent, in standard deviations of the batch's channel


def differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours along x (B, C, H, W-1) and y (B, C, H-1, W)."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def edges(x: Tensor) -> Tensor:
    """Strength of the edges of pictures (B, C, H, W) in [-1, 1], as (B, 1, H, W) in [0, 1], spread by one pixel."""
    dx, dy = differences(x)
    strength = F.pad(dx.abs().amax(1, True), (0, 1)) + F.pad(dy.abs().amax(1, True), (0, 0, 0, 1))  # (B, 1, H, W)
    return F.max_pool2d(strength.clamp(max=1), 3, 1, 1)


def picture_loss(y: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """L1 + 4 MSE + 2 L1 of the gradients, of pictures (B, 3, H, W) in [-1, 1]; the subject and edges weigh more."""
    error = y - x
    weight = 1 + SUBJECT_WEIGHT * F.max_pool2d(mask, 5, 1, 2) + EDGE_WEIGHT * edges(x)
    loss = (weight * (error.abs() + 4 * error**2)).mean()
    for a, b in zip(differences(y), differences(x), strict=True):
        loss = loss + GRADIENT_WEIGHT * ((a - b).abs() * weight[..., : a.shape[2], : a.shape[3]]).mean()
    return loss


def make_loss(vae: AutoencoderKL, batch: int, seed: int, device: str) -> LossFn:
    """The loss of one step on `batch` pictures (at least 6)."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        data = clips("colour-decoder", seed, step, batch)
        x, m = pixels(data).to(device), masks(data).to(device)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        theta = random_affine(batch // 2, generator).to(device)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            z = vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist.mean
        z = z.float()  # (B, 4, h, w)
        spread = z.std((0, 2, 3), keepdim=True) * NOISE  # (1, 4, 1, 1)
        noise = torch.randn(z.shape, generator=generator) * torch.rand(batch, 1, 1, 1, generator=generator)
        noised = torch.arange(batch)[:, None, None, None] % 3 == 0
        z = z + (noise * noised).to(device) * spread
        zw, xw, mw = warp_both(theta, z[: batch // 2], x[: batch // 2], m[: batch // 2])
        z, x, m = (torch.cat([w, k[batch // 2 :]]) for w, k in ((zw, z), (xw, x), (mw, m)))
        with torch.autocast(device, torch.bfloat16):
            y = F.pixel_shuffle(vae.decode(z).sample, PATCH)
        clean = (~noised.flatten()) & (torch.arange(batch) >= batch // 2)  # (B,)
        logs = {"psnr": psnr(y[clean], x[clean]), "psnr_warped": psnr(y[: batch // 2], xw)}
        return picture_loss(y.float(), x, m), logs

    return loss


@torch.no_grad()
def sharpness(vae: AutoencoderKL, count: int = 64) -> float:
    """Gradient around the subject of decoded held-out pictures over the truth's; 1 is as sharp as the truth."""
    data = clips("vae-eval", 1, 0, count, split="test")
    x, near = pixels(data), F.max_pool2d(masks(data), 9, 1, 4)
    y = F.pixel_shuffle(vae.decode(vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist.mean).sample, PATCH)
    sums = [
        sum((d.abs() * near[..., : d.shape[2], : d.shape[3]]).sum() for d in differences(p))
        for p in (y.clamp(-1, 1), x)
    ]
    return float(sums[0] / sums[1])


def figures(vae: AutoencoderKL) -> dict[str, float]:
    """The results for the gate: PSNR of held-out pictures (whole, subject, warped latents) and the sharpness."""
    return {**evaluate(vae), "sharpness": sharpness(vae)}


def main() -> None:
    """Command line: trains, evaluates on the test split, exports the whole autoencoder in fp16."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/colour-decoder", 9000, 7e-4)
    parser.add_argument(
        "--base", type=Path, default=places.PACKAGE / "pocket-sd" / "vae", help="the autoencoder to start from"
    )
    stage_arguments(parser)
    args = parser.parse_args()
    if not args.base.is_dir():
        raise UserError(f"no autoencoder at {args.base}: run `python -m motionkit.training.recipes.pocket_vae` first")
    torch.manual_seed(args.seed)
    vae = AutoencoderKL.from_pretrained(args.base).float()
    before = figures(vae)
    vae.to(args.device, memory_format=torch.channels_last)
    for name, parameter in vae.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED))
    batch = args.batch or 12
    settings = LoopSettings(args.folder, args.steps, args.lr, fused=True, second=args.second)
    loop = Loop(vae, make_loss(vae, batch, args.seed, args.device), settings)
    out = args.out or args.folder / "vae"
    run_stage(loop, args, lambda trained: export(trained, out), {"batch": batch, "before": before})


def export(vae: AutoencoderKL, folder: Path) -> dict[str, float]:
    """Writes the whole autoencoder in fp16 and returns its figures."""
    vae = vae.float().cpu()
    half = AutoencoderKL.from_config({k: v for k, v in vae.config.items() if k != "_name_or_path"})
    half.load_state_dict(vae.state_dict())
    half.half().save_pretrained(folder, safe_serialization=True)
    return figures(vae)


if __name__ == "__main__":
    in_one_line(main)
