"""Teaches a copy of the pocket autoencoder's decoder line drawings: `pocket-modelscope` draws both.

The encoder stays `pocket-sd`'s, so that both backbones share one latent space; half of each batch is lines.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from motionkit.errors import UserError, in_one_line
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.world import SpriteClip
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.drawings import drawn
from motionkit.training.recipes.pocket_vae import PATCH, psnr, random_affine, warp_both
from motionkit.training.recipes.sprite_batches import clips, masks, pixels
from motionkit.training.recipes.stage import run_stage, stage_arguments

TRAINED = ("decoder.", "post_quant_conv.")
WEIGHT = 3.0  # extra weight of the subject, and of the ink of a drawing


def drawings(batch: list[SpriteClip], name: str, step: int) -> Tensor:
    """The first frame of each clip as a drawing by hand, (B, 3, H, W) in [-1, 1]."""
    rng = rng_of("drawings", name, step)
    lines = [torch.from_numpy(drawn(c, rng)[0]) for c in batch]
    return torch.stack(lines).permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, H, W)


def make_loss(vae: AutoencoderKL, batch: int, seed: int, device: str) -> LossFn:
    """L1 + 4 MSE of decoded latents, a quarter of which are warped as AnaMoDiff does."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        data = clips("pocket-decoder", seed, step, batch)
        half = batch // 2
        x = torch.cat([drawings(data[:half], "train", seed * 1_000_003 + step), pixels(data[half:])])
        m = masks(data)
        m[:half] = (x[:half].mean(1, keepdim=True) < 0.5).float()
        x, m = x.to(device), F.max_pool2d(m.to(device), 5, 1, 2)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            posterior = vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist
            z = posterior.mean.float()
            z = z + posterior.std.float() * torch.randn(z.shape, generator=generator).to(device)
        pick = torch.arange(0, batch, 4)
        z[pick], x[pick], m[pick] = warp_both(random_affine(len(pick), generator).to(device), z[pick], x[pick], m[pick])
        with torch.autocast(device, torch.bfloat16):
            y = F.pixel_shuffle(vae.decode(z).sample, PATCH)
        error = y.float() - x
        logs = {"psnr_lines": psnr(y[:half], x[:half]), "psnr_colour": psnr(y[half:], x[half:])}
        return ((1 + WEIGHT * m) * (error.abs() + 4 * error**2)).mean(), logs

    return loss


@torch.no_grad()
def evaluate(vae: AutoencoderKL, count: int = 64) -> dict[str, float]:
    """PSNR in dB on held-out characters, as lines and in colour."""
    data = clips("vae-eval", 1, 0, count, split="test")
    out: dict[str, float] = {"n": count}
    for name, x in (("lines", drawings(data, "eval", 0)), ("colour", pixels(data))):
        y = F.pixel_shuffle(vae.decode(vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist.mean).sample, PATCH)
        out[f"psnr_{name}"] = psnr(y.clamp(-1, 1), x)
    return out


def export(vae: AutoencoderKL, folder: Path) -> None:
    """Writes `vae/` in fp16: the configuration and the decoder; the encoder is `pocket-sd`'s."""
    (folder / "vae").mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in vae.config.items() if key != "_name_or_path"}  # a place on this disk
    AutoencoderKL.from_config(config).save_config(folder / "vae")
    kept = {k: v.detach().half().contiguous().cpu() for k, v in vae.state_dict().items() if k.startswith(TRAINED)}
    save_file(kept, folder / "vae" / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def main() -> None:
    """Command line: trains, evaluates on the test split, exports."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/line-decoder", 2000, 1e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    base, out = args.set / "pocket-sd" / "vae", args.out or args.set / "pocket-modelscope"
    if not base.is_dir():
        raise UserError(f"no autoencoder at {base}: run `make train-pocket`, which makes it first")
    torch.manual_seed(args.seed)
    vae = AutoencoderKL.from_pretrained(base).float()
    before = evaluate(vae)
    vae.to(args.device, memory_format=torch.channels_last)
    for name, parameter in vae.named_parameters():
        parameter.requires_grad_(name.startswith(TRAINED))
    batch = args.batch or 8
    settings = LoopSettings(args.folder, args.steps, args.lr, fused=True, second=args.second)
    loop = Loop(vae, make_loss(vae, batch, args.seed, args.device), settings)

    def finished(trained: AutoencoderKL) -> dict[str, float]:
        export(trained.float().cpu(), out)
        return evaluate(trained)

    run_stage(loop, args, finished, {"batch": batch, "before": before})


if __name__ == "__main__":
    in_one_line(main)
