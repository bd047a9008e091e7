"""Gives an autoencoder's latents zero mean and unit variance in every channel, folded into its 1x1 convolutions.

Nothing else changes: `scaling_factor` stays, and `encode` then `decode` gives the same picture. A diffusion network
learns best on such latents, where every channel has the same weight.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from motionkit.errors import UserError, in_one_line
from motionkit.training.loop import arguments, write_record
from motionkit.training.recipes.pocket_vae import PATCH
from motionkit.training.recipes.sprite_batches import clips, pixels
from motionkit.training.recipes.stage import stage_arguments


@torch.no_grad()
def statistics(vae: AutoencoderKL, count: int = 512, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mean (4,) and standard deviation (4,) of the latents' channels, before `scaling_factor`, on training sprites."""
    found = []
    for step in range(max(1, count // 32)):
        x = pixels(clips("fold", seed, step, min(32, count)))
        found.append(vae.encode(F.pixel_unshuffle(x, PATCH)).latent_dist.mean)
    z = torch.cat(found)  # (N, 4, h, w)
    return z.mean((0, 2, 3)), z.std((0, 2, 3))


@torch.no_grad()
def fold(vae: AutoencoderKL, mean: Tensor, deviation: Tensor) -> None:
    """Change `quant_conv` and `post_quant_conv` in place.

    With k = 1 / (deviation * scaling_factor) the encoder gives k (z - mean), whose log variance is 2 log k more, and
    the decoder undoes it.

    Args:
        mean, deviation: (C,) of the latents' channels, as `statistics` gives them.

    Raises:
        UserError: the autoencoder has no 1x1 convolutions to fold into.
    """
    if vae.quant_conv is None or vae.post_quant_conv is None:
        raise UserError("this autoencoder has no quant_conv and post_quant_conv to fold the statistics into")
    k = 1 / (deviation * vae.config.scaling_factor)  # (C,)
    channels = len(k)
    weight, bias = vae.quant_conv.weight, vae.quant_conv.bias
    weight[:channels] *= k.view(-1, 1, 1, 1)  # (C, 1, 1, 1)
    bias[:channels] = (bias[:channels] - mean) * k
    bias[channels:] += 2 * k.log()
    back = vae.post_quant_conv
    back.bias += (back.weight[:, :, 0, 0] * mean).sum(1)
    back.weight /= k.view(1, -1, 1, 1)  # (1, C, 1, 1)


def main() -> None:
    """Command line: folds the statistics of an autoencoder and writes it in fp16."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/fold", 0, 0.0)
    parser.add_argument("--base", type=Path, default=Path("runs/pocket/colour-decoder/vae"))
    stage_arguments(parser)
    args = parser.parse_args()
    if not args.base.is_dir():
        raise UserError(f"no autoencoder at {args.base}: train its decoder first (make train-pocket)")
    vae = AutoencoderKL.from_pretrained(args.base).float().eval()
    mean, deviation = statistics(vae)
    fold(vae, mean, deviation)
    after = statistics(vae, 64, seed=1)
    record = {"mean": mean.tolist(), "deviation": deviation.tolist(), "after": [v.tolist() for v in after]}
    copy = AutoencoderKL.from_config({k: v for k, v in vae.config.items() if k != "_name_or_path"})
    copy.load_state_dict(vae.state_dict())
    copy.half().save_pretrained(args.out or args.set / "pocket-sd" / "vae")
    write_record(args.set / "records" / f"{args.folder.name}.json", record)
    print(json.dumps(record))


if __name__ == "__main__":
    in_one_line(main)
