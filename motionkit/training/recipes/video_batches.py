"""What the trainers of video backbones share: captioned sprite clips as latents, and noise for them.

The schedule ends in more noise than Stable Diffusion's. A clip has so many numbers that what Stable Diffusion's last
step leaves of the signal (alpha_bar .0047) already tells how the subject moves; a model trained on it learns to read
the motion there and not in the words. For the same reason part of the timesteps is drawn near the end.
"""

from __future__ import annotations

from functools import partial
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
from motionkit.training.ahead import Ahead
from motionkit.training.recipes.along_time import same_content
from motionkit.training.recipes.captioned import LENGTH
from motionkit.training.recipes.drawings import drawn
from motionkit.training.recipes.pocket_sd import SCHEDULE
from motionkit.training.recipes.sprite_batches import clips

VIDEO_SCHEDULE = SCHEDULE | dict(beta_end=0.02)  # alpha_bar ends at 0.0002; AnimateDiff's SDXL branch ends there too
SHARES = (0.0, 0.5, 0.7)  # of the noise's variance, each in a third of the clips (arXiv 2305.10474)
# Share of clips whose motion starts where its cycle begins. Where all start anywhere, the best guess under high noise
# is the mean over all starts, which stands still, whatever the verb.
BEGUN = 0.6
LATE, LATE_FROM = 0.25, 820  # this share of the timesteps is drawn from there up


class Batch(NamedTuple):
    """Noisy latents (B, 4, F, h, w), steps t (B,), word ids (B, L), the true v, subject cells (B, 1, F, h, w).

    Further the place (B,) of each motion in TRAIN_MOTIONS, whether it was said (B,), alpha_bar (B, 1, 1, 1, 1), and
    where it was asked for, in which frames a cell shows the same (B, h, w, F, F) bool.
    """

    noisy: Tensor
    t: Tensor
    ids: Tensor
    target: Tensor
    subject: Tensor
    motion: Tensor
    told: Tensor
    alpha: Tensor
    same: Tensor | None = None

    def loss(self, v: Tensor) -> tuple[Tensor, dict[str, float]]:
        """MSE of v, the subject's cells three times as heavy."""
        error = (v.float() - self.target) ** 2
        return (error * (1 + 2 * self.subject)).mean(), {"mse": error.mean().item()}

    def predicted(self, v: Tensor) -> Tensor:
        """The clean latents that follow from a predicted v."""
        return self.alpha.sqrt() * self.noisy - (1 - self.alpha).sqrt() * v.float()


class Lengths(NamedTuple):
    """How many frames the clips of a step have: `short` before the step `until`, `long` from there."""

    short: int
    long: int
    until: int

    def at(self, step: int) -> int:
        """Frames of a step's clips."""
        return self.short if step < self.until else self.long


class Rendered(NamedTuple):
    """Clips (B, F, H, W, 3) uint8, what is said, the subject's cells (B, 1, F, h, w), places of the motions (B,).

    `same`, if asked for, says in which frames a cell shows the same content: (B, h, w, F, F) bool.
    """

    pixels: np.ndarray
    said: list[str]
    subject: np.ndarray
    motion: np.ndarray
    same: np.ndarray | None = None


def rendered(
    name: str, seed: int, count: int, lines: float, lengths: Lengths, step: int, same: bool = False
) -> Rendered:
    """The clips of a step; `lines` is the share of clips that are shown as drawings."""
    data = clips(name, seed, step, count, lengths.at(step), begun=BEGUN)
    sketched = [bool(rng_of("drawing", seed, step, i).uniform() < lines) for i in range(count)]
    rng = rng_of(f"{name} captions", seed, step)
    pixels = np.stack([drawn(c, rng) if d else c.frames for c, d in zip(data, sketched, strict=True)])
    said = [caption(c, d, rng) for c, d in zip(data, sketched, strict=True)]
    subject = subject_cells(data, data[0].size // 4, data[0].size // 4).byte().numpy()
    motion = np.array([TRAIN_MOTIONS.index(c.motion.name) for c in data])
    return Rendered(pixels, said, subject, motion, same_content(data) if same else None)


class VideoBatches:
    """The batch of a step, always the same one.

    `lines` is the share of clips that are shown as drawings. With `lengths` and `workers`, so many processes render
    ahead, for steps of those lengths. `same`: whether batches say in which frames a cell shows the same.
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
        lengths: Lengths | None = None,
        workers: int = 0,
        same: bool = False,
    ) -> None:
        self.same = same
        self.name, self.vae, self.tokenizer, self.count = name, vae, tokenizer, count
        self.seed, self.device, self.lines = seed, device, lines
        self.scheduler = DDIMScheduler(**VIDEO_SCHEDULE)
        self.patch = int((vae.config.in_channels // 3) ** 0.5)
        self.ahead = None
        if lengths and workers:
            self.ahead = Ahead(partial(rendered, name, seed, count, lines, lengths, same=same), workers)

    @torch.no_grad()
    def at(self, step: int, frames: int) -> Batch:
        """The batch of a step, of clips of that length."""
        made = self._rendered(step, frames)
        z = self._encode(made.pixels)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        noise = draw_noise(z.shape, generator).to(self.device)
        t = draw_times(len(z), generator).to(self.device)
        noisy, target = self.scheduler.add_noise(z, noise, t), self.scheduler.get_velocity(z, noise, t)
        subject = torch.from_numpy(made.subject).float().to(self.device)
        told = torch.tensor([bool(words) for words in made.said], device=self.device)
        alpha = self.scheduler.alphas_cumprod.to(self.device)[t].view(-1, 1, 1, 1, 1)  # (B, 1, 1, 1, 1)
        motion = torch.from_numpy(made.motion).to(self.device)
        same = None if made.same is None else torch.from_numpy(made.same).to(self.device)
        return Batch(noisy, t, self._words(made.said), target, subject, motion, told, alpha, same)

    @torch.no_grad()
    def clean(self, step: int, frames: int) -> tuple[Tensor, Tensor]:
        """Latents (B, 4, F, h, w) of a step's clips, and the places (B,) of their motions in TRAIN_MOTIONS."""
        made = self._rendered(step, frames)
        return self._encode(made.pixels), torch.from_numpy(made.motion).to(self.device)

    def _rendered(self, step: int, frames: int) -> Rendered:
        if self.ahead is not None:
            made = self.ahead(step)
            if made.pixels.shape[1] == frames:
                return made
        return rendered(self.name, self.seed, self.count, self.lines, Lengths(frames, frames, 0), step, self.same)

    def _encode(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(pixels).to(self.device).flatten(0, 1).permute(0, 3, 1, 2)  # (B F, 3, H, W)
        x = x.float() / 127.5 - 1
        with torch.autocast(self.device, torch.bfloat16):
            z = self.vae.encode(F.pixel_unshuffle(x, self.patch)).latent_dist.mean.float()
        z = z * self.vae.config.scaling_factor
        return z.unflatten(0, (len(pixels), -1)).transpose(1, 2)  # (B, 4, F, h, w)

    def _words(self, said: list[str]) -> Tensor:
        coded = self.tokenizer(said, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
        return coded.input_ids.to(self.device)


def subject_cells(data: list[SpriteClip], height: int, width: int) -> Tensor:
    """Latent cells (B, 1, F, h, w) near the subject: 1, elsewhere 0."""
    m = torch.from_numpy(np.stack([c.mask for c in data])).float()  # (B, F, H, W)
    return F.max_pool2d(m, 8, 4, 2)[:, None, :, :height, :width]  # (B, 1, F, h, w)


def caption(clip: SpriteClip, drawing: bool, rng: np.random.Generator) -> str:
    """One of several captions of what a clip shows and what happens; a tenth are empty (for guidance)."""
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
