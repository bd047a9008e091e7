"""Trains the autoencoder of `pocket-sd`: 128 px sprites to latents (4, 32, 32).

A stock AutoencoderKL on 4x4 pixel patches (48 channels in and out). Half of each batch is decoded from warped latents
and must give the warped picture: methods that move latents need a decoder that follows (EQ-VAE, arXiv 2502.09509).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from motionkit.errors import in_one_line
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.training.recipes.sprite_batches import clips, masks, pixels
from motionkit.weights import places

PATCH = 4
CONFIG = dict(
    in_channels=3 * PATCH**2,
    out_channels=3 * PATCH**2,
    down_block_types=("DownEncoderBlock2D",),
    up_block_types=("UpDecoderBlock2D",),
    block_out_channels=(96,),
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=16,
    sample_size=32,
    mid_block_add_attention=False,
)
KL_WEIGHT = 1e-4
SUBJECT_WEIGHT = 3.0


def random_affine(count: int, generator: torch.Generator) -> torch.Tensor:
    """Small random similarity maps (B, 2, 3) for `affine_grid`: turn ±0.4 rad, scale 0.85-1.15, shift ±0.15."""
    u = torch.rand(count, 4, generator=generator) * 2 - 1
    turn, scale = 0.4 * u[:, 0], 1 + 0.15 * u[:, 1]
    c, s = scale * turn.cos(), scale * turn.sin()
    rows = [torch.stack([c, -s, 0.15 * u[:, 2]], -1), torch.stack([s, c, 0.15 * u[:, 3]], -1)]
    return torch.stack(rows, 1)  # (B, 2, 3)


def warp_both(theta: torch.Tensor, *tensors: torch.Tensor) -> list[torch.Tensor]:
    """The same maps applied to pictures and latents of any size, borders repeated."""
    out = []
    for x in tensors:
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        out.append(F.grid_sample(x, grid, padding_mode="border", align_corners=False))
    return out


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """PSNR in dB of two tensors in [-1, 1], over all their values."""
    return 10 * math.log10(4.0 / F.mse_loss(a.float(), b.float()).item())


def make_loss(vae: AutoencoderKL, batch: int, seed: int, device: str) -> LossFn:
    """The loss of one step: L1 + 4 MSE, subject pixels weighted, plus a light KL."""

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        data = clips("pocket-vae", seed, step, batch)
        x, m = pixels(data).to(device), masks(data).to(device)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        theta = random_affine(batch // 2, generator).to(device)
        with torch.autocast(device, torch.bfloat16):
            posterior = vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
        z = posterior.mean.float() + posterior.std.float() * noise
        zw, xw, mw = warp_both(theta, z[: batch // 2], x[: batch // 2], m[: batch // 2])
        z, target, m = (
            torch.cat([zw, z[batch // 2 :]]),
            torch.cat([xw, x[batch // 2 :]]),
            torch.cat([mw, m[batch // 2 :]]),
        )
        with torch.autocast(device, torch.bfloat16):
            y = F.pixel_shuffle(vae.decode(z).sample, PATCH)
        error = y.float() - target
        weight = 1 + SUBJECT_WEIGHT * F.max_pool2d(m, 5, 1, 2)
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        picture = (weight * (error.abs() + 4 * error**2)).mean()
        logs = {
            "psnr": psnr(y[batch // 2 :], target[batch // 2 :]),
            "psnr_warped": psnr(y[: batch // 2], xw),
            "kl": kl.item(),
        }
        return picture + KL_WEIGHT * kl, logs

    return loss


@torch.no_grad()
def evaluate(vae: AutoencoderKL, split: str = "test", count: int = 64, seed: int = 1) -> dict[str, float]:
    """PSNR on held-out characters: whole picture, subject alone, and of warped latents; and the latents' std."""
    data = clips("vae-eval", seed, 0, count, split=split)
    x, m = pixels(data), masks(data)
    z = vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist.mean
    y = F.pixel_shuffle(vae.decode(z).sample, PATCH).clamp(-1, 1)
    each = 10 * torch.log10(4 / (y - x).pow(2).mean((1, 2, 3)))
    theta = random_affine(count, torch.Generator().manual_seed(seed))
    zw, xw = warp_both(theta, z, x)
    yw = F.pixel_shuffle(vae.decode(zw).sample, PATCH).clamp(-1, 1)
    at = m.bool().expand_as(x)
    return {
        "psnr": each.mean().item(),
        "psnr_worst": each.min().item(),
        "psnr_subject": psnr(y[at], x[at]),
        "psnr_warped_latent": psnr(yw, xw),
        "latent_std": z.std().item(),
        "latent_mean": z.mean().item(),
        "n": count,
    }


def export(vae: AutoencoderKL, folder: Path) -> dict[str, float]:
    """Writes the hub-layout `vae/` folder in fp16 and returns the measured figures.

    The scaling factor stays Stable Diffusion's 0.18215, which the shipped UNet was trained with (latent std 0.54).
    """
    figures = evaluate(vae)
    half = AutoencoderKL.from_config(vae.config)
    half.load_state_dict(vae.state_dict())
    half.half().save_pretrained(folder / "vae", safe_serialization=True)
    return figures


def main() -> None:
    """Command line: trains, evaluates on the test split, exports."""
    args = arguments(__doc__.splitlines()[0], "runs/train/pocket-vae", 2500, 1.5e-3).parse_args()
    torch.manual_seed(args.seed)
    batch = args.batch or 8
    vae = AutoencoderKL(**CONFIG).to(args.device, memory_format=torch.channels_last)
    loop = Loop(vae, make_loss(vae, batch, args.seed, args.device), LoopSettings(args.folder, args.steps, args.lr))
    trained = loop.run().float().cpu()
    out = args.out or places.PACKAGE / "pocket-sd"
    figures = export(trained, out)
    write_record(
        args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds, "batch": batch, "figures": figures}
    )
    print(figures)


if __name__ == "__main__":
    in_one_line(main)
