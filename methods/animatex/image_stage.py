"""Trains Animate-X's spatial layers on single pictures: pose and reference to frame.

Appearance comes from the reference's tokens through cross-attention, as in the paper; training supervises where in the
reference that attention looks. A head predicts parts and offsets. Starts from pocket-sd's UNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTokenizer

from motionkit.errors import UserError, in_one_line
from motionkit.methods.animatex.net.config import POCKET_GRID
from motionkit.training.loop import Loop, LossFn, arguments
from motionkit.training.recipes.auxiliary import WEIGHT, offset_loss, part_loss
from motionkit.training.recipes.captioned import words
from motionkit.training.recipes.pocket_sd import SCHEDULE, even_times, read_text, read_unet, recipe
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights import eight_bit

from .image_batches import ImagePairs, Pairs
from .image_net import ImageNet, begin_as

ATTENTION = 0.05  # weight of -log of the attention on the true place
SUBJECT = 2.0  # further weight of cells near the subject
DROPPED = 0.05  # share of pairs without reference and pose, for guidance


def true_tokens(places: Tensor, visible: Tensor, side: int, cell: int = 8) -> tuple[Tensor, Tensor]:
    """Which token of the reference's grid the query cells should read.

    Args:
        places: (B, 2, h, w) pixels.  visible: (B, 1, h, w).  side: tokens (and queries) along a side.
        cell: pixels per token.

    Returns:
        tokens (B, S) int64, and whether they count (B, S) bool.
    """
    step = places.shape[-1] // side
    at = places[..., step // 2 :: step, step // 2 :: step]  # (B, 2, side, side)
    column, row = (at / cell).floor().long().unbind(1)  # (B, side, side) each
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    counts = visible[:, 0, step // 2 :: step, step // 2 :: step].bool() & inside
    return (row.clamp(0, side - 1) * side + column.clamp(0, side - 1)).flatten(1), counts.flatten(1)  # (B, S) each


def attention_loss(maps: list[Tensor], tokens: Tensor, counts: Tensor) -> Tensor:
    """Mean of -log of the attention on the true token, of maps (B, S, L + S) whose last S keys are the grid."""
    size = tokens.shape[1]
    found = [m[..., -size:].float().gather(2, tokens[..., None])[..., 0] for m in maps]  # (B, S) each
    return torch.stack([-(f + 1e-3).log()[counts].mean() for f in found]).mean()


def grid_offsets(places: Tensor, cell: int = 4) -> Tensor:
    """Places (B, 2, h, w) relative to the cells' own, pixels."""
    middle = (cell - 1) // 2
    side = torch.arange(places.shape[-1], dtype=places.dtype, device=places.device) * cell + middle
    return places - torch.stack(torch.meshgrid(side, side, indexing="xy"))


def make_loss(net: ImageNet, pairs: ImagePairs, seed: int, batch: int, dropped: float = DROPPED) -> LossFn:
    """MSE of v with the subject weighted, the attention's, and the head's losses, of `batch` pairs."""
    scheduler, device = DDIMScheduler(**SCHEDULE), pairs.device

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        data = pairs.mixed(step, batch)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        z = data.clean
        noise, t = torch.randn(z.shape, generator=generator).to(device), even_times(len(z), generator).to(device)
        noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
        keep = (torch.rand(len(z), generator=generator) >= dropped).float().view(-1, 1, 1, 1).to(device)  # (B, 1, 1, 1)
        with torch.autocast(device, torch.bfloat16):
            v = net(noisy, t, *conditions(net, data, keep))
            logits, offsets = net.head(net.listener.take())
        error = (v.float() - target) ** 2
        tokens, counts = true_tokens(data.places, data.visible * keep, net.config.reference_grid)
        seen = attention_loss(net.watch.take(), tokens, counts)
        parts = part_loss(logits, data.parts)
        moved = offset_loss(offsets, grid_offsets(data.places), data.visible * keep)
        total = (error * (1 + SUBJECT * data.near)).mean() + ATTENTION * seen + WEIGHT * (parts + moved)
        logs = {"mse": error.mean(), "attention": seen, "parts": parts, "offset": moved}
        return total, {k: x.item() for k, x in logs.items()}

    return loss


def conditions(net: ImageNet, data: Pairs, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What is beside the noise and what attention reads; nothing where `keep` (B, 1, 1, 1) is 0."""
    beside, tokens = net.beside(data.reference, data.pose), net.grid(data.reference_latent, data.reference_pose)
    if keep is not None:
        beside, tokens = beside * keep.to(beside), tokens * keep.to(tokens)[:, 0]
    return beside, torch.cat([net.words.to(tokens).expand(len(tokens), -1, -1), tokens], 1)


@torch.no_grad()
def build(folder: Path, seed: int) -> tuple[ImageNet, AutoencoderKL]:
    """The network, begun as the set's pocket-sd, and its autoencoder. Raises: UserError without them."""
    if not (folder / "unet").is_dir():
        raise UserError(f"no image UNet at {folder / 'unet'}: run `make train-pocket`, which trains it first")
    torch.manual_seed(seed)
    text = read_text(folder / "text_encoder").eval()
    empty = text(words(CLIPTokenizer.from_pretrained(folder / "tokenizer"), [""])).last_hidden_state
    net = ImageNet(POCKET_GRID, empty)
    begin_as(net, read_unet(folder / "unet"))
    vae = AutoencoderKL.from_pretrained(folder / "vae").float().eval().requires_grad_(False)
    return net.to(memory_format=torch.channels_last), vae


def main() -> None:
    """Command line: trains; hands over an unfinished training, or exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pose-image", 7_500, 1e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    net, vae = build(args.set / "pocket-sd", args.seed)
    batch = args.batch or 32
    net, vae = net.to(args.device), vae.to(args.device)
    pairs = ImagePairs(vae, args.seed, batch // args.noises, device=args.device, workers=args.workers)
    loss = make_loss(net, pairs, args.seed, batch)
    loop = Loop(net, loss, recipe(args.folder, args.steps, args.lr, second=args.second, log_every=20))
    run_stage(loop, args, lambda trained: export(trained, args.set / "pose-image"), {"batch": batch})


def export(net: Any, folder: Path) -> None:
    """Writes the image network's weights in eight bits; it is no backbone, the clip network begins as it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().cpu() for k, v in net.state_dict().items() if not k.startswith("head.")}
    save_file(eight_bit.pack(state), folder / "model.safetensors", {"format": "pt"})


if __name__ == "__main__":
    in_one_line(main)
