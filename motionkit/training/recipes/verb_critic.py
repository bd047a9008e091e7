"""A small critic that recognises the motion in a clip of latents, and teaches the video UNet to follow its verb.

The error of a single noise level hardly rewards a verb, since a half-visible clip shows its motion anyway. So the
trainer also asks whether this critic sees the caption's motion in the clean clip that the UNet predicts at high noise
(reward learning, as in arXiv 2405.18750). Results are judged by another network, which sees pixels
(`motionkit.metrics.clipscorer`).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTokenizer

from motionkit.errors import UserError, in_one_line
from motionkit.sprites import TRAIN_MOTIONS
from motionkit.sprites.kinds import rng_of
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.stage import SET, run_stage, stage_arguments
from motionkit.training.recipes.video_batches import Batch, VideoBatches

MOST_NOISE = 1.5  # standard deviation of what is added to latents in training: predictions are never clean
CRITIC = SET / "verb-critic" / "critic.pt"
VERB = 0.03  # weight of the critic's cross entropy
VERB_FROM = 500  # timestep from which the critic is asked
VERB_NOISE = 0.55  # added to what it sees
COPIES = 2  # noise draws for each encoded clip


class VerbCritic(nn.Module):
    """Logits (B, motions) of latents (B, 4, F, h, w); frames and their differences, then convolutions along time."""

    def __init__(self, motions: int = len(TRAIN_MOTIONS), width: int = 96) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(8, 32, 3, 2, 1),
            nn.GroupNorm(8, 32),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.GroupNorm(8, 64),
            nn.SiLU(),
            nn.Conv2d(64, width, 3, 1, 1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(4),
        )
        self.frame = nn.Linear(width * 16, 128)
        self.time = nn.ModuleList([nn.Conv1d(128, 128, 3, padding=d, dilation=d) for d in (1, 2, 3)])
        self.norms = nn.ModuleList([nn.GroupNorm(8, 128) for _ in self.time])
        self.head = nn.Linear(256, motions)

    def forward(self, z: Tensor) -> Tensor:
        """The logits, in the order of `TRAIN_MOTIONS`."""
        moved = torch.diff(z, dim=2, prepend=z[:, :, :1])
        x = torch.cat([z, moved], 1).transpose(1, 2)  # (B, F, 8, h, w)
        seen = self.look(x.flatten(0, 1)).flatten(1)  # (B*F, width*16)
        h = self.frame(seen).unflatten(0, (len(z), -1)).transpose(1, 2)  # (B, 128, F)
        for conv, norm in zip(self.time, self.norms, strict=True):
            h = h + F.silu(norm(conv(h)))
        return self.head(torch.cat([h.mean(2), h.amax(2)], 1))


def make_loss(critic: VerbCritic, batches: VideoBatches, frames: int = 8) -> LossFn:
    """Cross entropy on noised and partly blurred latents; the batch of a step is the same whenever it is asked for."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        z, label = batches.clean(step, frames)
        z, label = z.repeat(COPIES, 1, 1, 1, 1), label.repeat(COPIES)
        rng = torch.Generator().manual_seed(int(rng_of("verb-critic noise", batches.seed, step).integers(2**31)))
        level = MOST_NOISE * torch.rand(len(z), 1, 1, 1, 1, generator=rng)
        blurred = F.avg_pool3d(z, (1, 3, 3), 1, (0, 1, 1), count_include_pad=False)
        part = torch.rand(len(z), 1, 1, 1, 1, generator=rng)
        z = torch.lerp(z, blurred, part) + level * torch.randn(z.shape, generator=rng).to(z)
        with torch.autocast(batches.device, torch.bfloat16):
            logits = critic(z).float()
        right = (logits.argmax(1) == label).float().mean().item()
        return F.cross_entropy(logits, label, label_smoothing=0.05), {"right": right}

    return loss


@torch.no_grad()
def accuracy(critic: VerbCritic, batches: VideoBatches, steps: range, frames: int = 8) -> float:
    """Share of clips of those steps, without noise, whose motion the critic recognises."""
    right = [(critic(z).argmax(1) == label).float() for z, label in (batches.clean(s, frames) for s in steps)]
    return float(torch.cat(right).mean())


def moves_as_told(critic: VerbCritic, batch: Batch, v: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """Cross entropy of the critic on the clips predicted by v, where noise is high and the caption names a motion; and
    the share that it recognises."""
    asked = batch.told & (batch.t >= VERB_FROM)
    clean = batch.predicted(v)
    clean = clean + VERB_NOISE * torch.randn(clean.shape, generator=generator).to(clean)  # steadier gradients
    with torch.autocast(clean.device.type, torch.bfloat16):
        logits = critic(clean).float()
    wrong = F.cross_entropy(logits, batch.motion, reduction="none") * asked
    right = ((logits.argmax(1) == batch.motion) & asked).sum() / asked.sum().clamp(min=1)
    return wrong.mean(), right.item()


def load_critic(path: Path) -> VerbCritic:
    """The trained critic, frozen. Raises: UserError when it was not trained."""
    if not path.is_file():
        raise UserError(f"no critic at {path}: run `make train-pocket`, which trains it first")
    critic = VerbCritic()
    critic.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return critic.eval().requires_grad_(False)


def main() -> None:
    """Command line: trains; the weights stay in the run's folder."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/verb-critic", 600, 2e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    base = args.set / "pocket-sd"
    torch.manual_seed(args.seed)
    vae = AutoencoderKL.from_pretrained(base / "vae").float().eval().requires_grad_(False).to(args.device)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    batches = VideoBatches("verb-critic", vae, tokenizer, args.batch or 12, args.seed, args.device, 0.3)
    critic = VerbCritic().to(args.device)
    settings = LoopSettings(args.folder, args.steps, args.lr, log_every=10, ema=0.99, second=args.second)

    def finished(trained: VerbCritic) -> dict[str, float]:
        file = args.set / args.folder.name / CRITIC.name
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({k: v.half() for k, v in trained.state_dict().items()}, file)
        return {"right_unseen": accuracy(trained, batches, range(10**6, 10**6 + 16))}

    run_stage(Loop(critic, make_loss(critic, batches), settings), args, finished)


if __name__ == "__main__":
    in_one_line(main)
