"""What the trainers of video backbones share: captioned sprite clips as latents, and noise for them.

The schedule ends in more noise than Stable Diffusion's. A clip has so many numbers that what Stable Diffusion's last
step leaves of the signal (alpha_bar .0047) already tells how the subject moves; a model trained on it learns to read
the motion there and not in the words. For the same reason part of the timesteps is drawn near the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor
from transformers import CLIPTokenizer

from motionkit.sprites import TRAIN_MOTIONS
from motionkit.sprites.kinds import article, rng_of
from motionkit.sprites.world import DOING, SpriteClip
from motionkit.training.captioned import LENGTH
from motionkit.training.drawings import drawn
from motionkit.training.pocket_sd import SCHEDULE
from motionkit.training.sprite_batches import clips

VIDEO_SCHEDULE = SCHEDULE | dict(beta_end=0.02)  # alpha_bar ends at 0.0002; AnimateDiff's SDXL branch ends there too
SHARES = (0.0, 0.5, 0.7)  # of the noise's variance, each in a third of the clips (arXiv 2305.10474)
LATE, LATE_FROM = 0.25, 820  # this share of the timesteps is drawn from there up


class Batch(NamedTuple):
    """Noisy latents (B, 4, F, h, w), steps t (B,), word ids (B, L), the true v, subject cells (B, 1, F, h, w).

    Further the place (B,) of each motion in TRAIN_MOTIONS, whether it was said (B,), and alpha_bar (B, 1, 1, 1, 1).
    """

    noisy: Tensor
    t: Tensor
    ids: Tensor
    target: Tensor
    subject: Tensor
    motion: Tensor
    told: Tensor
    alpha: Tensor

    def loss(self, v: Tensor) -> tuple[Tensor, dict[str, float]]:
        """MSE of v, the subject's cells three times as heavy."""
        error = (v.float() - self.target) ** 2
        return (error * (1 + 2 * self.subject)).mean(), {"mse": error.mean().item()}

    def predicted(self, v: Tensor) -> Tensor:
        """The clean latents that a predicted v stands for."""
        return self.alpha.sqrt() * self.noisy - (1 - self.alpha).sqrt() * v.float()


class VideoBatches:
    """The batch of a step, the same whenever it is asked for.

    `lines` is the share of clips that are shown as line drawings.
    """

    def __init__(
        self,
        name: str,
        vae: AutoencoderKL,
        tokenizer: CLIPTokenizer,
        count: int,
        seed: int,
        device: str,
        lines: float = 0.0,
    ) -> None:
        self.name, self.vae, self.tokenizer, self.count = name, vae, tokenizer, count
        self.seed, self.device, self.lines = seed, device, lines
        self.scheduler = DDIMScheduler(**VIDEO_SCHEDULE)
        self.patch = int((vae.config.in_channels // 3) ** 0.5)

    @torch.no_grad()
    def at(self, step: int, frames: int) -> Batch:
        """The batch of a step, of clips of that length."""
        data, drawn = self._clips(step, frames)
        rng = rng_of(f"{self.name} captions", self.seed, step)
        z = self._encode(data, drawn, rng)
        said = [caption(c, d, rng) for c, d in zip(data, drawn, strict=True)]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        noise = draw_noise(z.shape, generator).to(self.device)
        t = draw_times(len(z), generator).to(self.device)
        noisy, target = self.scheduler.add_noise(z, noise, t), self.scheduler.get_velocity(z, noise, t)
        subject = subject_cells(data, z.shape[3], z.shape[4]).to(self.device)
        told = torch.tensor([bool(words) for words in said], device=self.device)
        alpha = self.scheduler.alphas_cumprod.to(self.device)[t].view(-1, 1, 1, 1, 1)
        return Batch(noisy, t, self._words(said), target, subject, self._motions(data), told, alpha)

    @torch.no_grad()
    def clean(self, step: int, frames: int) -> tuple[Tensor, Tensor]:
        """Latents (B, 4, F, h, w) of a step's clips, and the places (B,) of their motions in TRAIN_MOTIONS."""
        data, drawn = self._clips(step, frames)
        z = self._encode(data, drawn, rng_of(f"{self.name} captions", self.seed, step))
        return z, self._motions(data)

    def _motions(self, data: list[SpriteClip]) -> Tensor:
        return torch.tensor([TRAIN_MOTIONS.index(c.motion.name) for c in data], device=self.device)

    def _clips(self, step: int, frames: int) -> tuple[list[SpriteClip], list[bool]]:
        data = clips(self.name, self.seed, step, self.count, frames)
        return data, [self._is_drawing(step, i) for i in range(len(data))]

    def _encode(self, data: list[SpriteClip], drawn: list[bool], rng: np.random.Generator) -> Tensor:
        x = torch.cat([pictures(c, d, rng) for c, d in zip(data, drawn, strict=True)]).to(self.device)
        with torch.autocast(self.device, torch.bfloat16):
            z = self.vae.encode(F.pixel_unshuffle(x, self.patch)).latent_dist.mean.float()
        z = z * self.vae.config.scaling_factor
        return z.unflatten(0, (len(data), -1)).transpose(1, 2)  # (B, 4, F, h, w)

    def _is_drawing(self, step: int, index: int) -> bool:
        return bool(rng_of("drawing", self.seed, step, index).uniform() < self.lines)

    def _words(self, said: list[str]) -> Tensor:
        coded = self.tokenizer(said, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
        return coded.input_ids.to(self.device)


def subject_cells(data: list[SpriteClip], height: int, width: int) -> Tensor:
    """Latent cells (B, 1, F, h, w) near the subject: 1, elsewhere 0."""
    m = torch.from_numpy(np.stack([c.mask for c in data])).float()  # (B, F, H, W)
    return F.max_pool2d(m, 8, 4, 2)[:, None, :, :height, :width]  # (B, 1, F, h, w)


def pictures(clip: SpriteClip, drawing: bool, rng: np.random.Generator) -> Tensor:
    """Frames (F, 3, H, W) in [-1, 1], in colour or as a drawing by hand."""
    frames = drawn(clip, rng) if drawing else clip.frames
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1  # (F, 3, H, W)


def caption(clip: SpriteClip, drawing: bool, rng: np.random.Generator) -> str:
    """One of several ways to say what a clip shows and what happens in it; a tenth are empty (for guidance)."""
    c, doing = clip.character, DOING[clip.motion.name]
    if rng.uniform() < 0.1:
        return ""
    subject = c.kind if drawing else f"{c.colour} {c.kind}"
    forms = [
        f"{article(subject)} {subject} {doing}",
        f"{article(subject)} {subject} is {doing}",
        f"the {subject} is {doing}",
        f"a {doing} {subject}",
        f"{subject} {doing}",
    ]
    said = forms[rng.integers(len(forms))]
    if drawing:
        return f"a drawing of {said}" if rng.uniform() < 0.8 else said
    return f"{said} on {c.background}" if rng.uniform() < 0.3 else said


def draw_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Noise (B, 4, F, h, w), of whose variance one of SHARES is common to the frames of a clip."""
    own = torch.randn(shape, generator=generator)
    common = torch.randn(shape[0], shape[1], 1, *shape[3:], generator=generator)
    drawn = torch.randint(len(SHARES), (shape[0], 1, 1, 1, 1), generator=generator)
    share = torch.tensor(SHARES)[drawn]
    return share.sqrt() * common + (1 - share).sqrt() * own


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Timesteps (B,), evenly spread over a density that grows with t, some of them moved to where motion is decided."""
    even = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    late = LATE_FROM + torch.rand(count, generator=generator) * (1000 - LATE_FROM)
    moved = torch.rand(count, generator=generator) < LATE
    return torch.where(moved, late, even.sqrt() * 1000).long().clamp(max=999)
