"""Captioned pictures of sprites: the words of the pocket tokenizer, captions, and latents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from motionkit.sprites import BIPEDS, COLOURS, QUADRUPEDS
from motionkit.sprites.kinds import BACKGROUNDS, article, rng_of
from motionkit.sprites.world import DOING, SpriteClip
from motionkit.training.recipes.auxiliary import part_cells
from motionkit.training.recipes.sprite_batches import clips, masks

WORDS = (
    *COLOURS,
    *QUADRUPEDS,
    *BIPEDS,
    *BACKGROUNDS,
    *DOING.values(),
    "flag",
    "letter",
    "a",
    "an",
    "the",
    "on",
    "and",
    "with",
    "in",
    "is",
    "of",
    "plain",
    "background",
    "picture",
    "drawing",
    "animal",
    "character",
    "standing",
    "colored",
)
LENGTH = 16


def caption(clip: SpriteClip, rng: np.random.Generator) -> str:
    """One of several ways to say what a picture shows; a tenth are empty (for guidance)."""
    c, doing = clip.character, DOING[clip.motion.name]
    named = f"{article(c.colour)} {c.colour} {c.kind}"
    forms = (
        "",
        named,
        f"{named} on {c.background}",
        f"{c.colour} {c.kind}",
        f"{named} {doing}",
        f"{named} {doing}",
        f"{named} is {doing}",
        f"{named} {doing} on {c.background}",
        f"a {doing} {c.colour} {c.kind}",
        f"the {c.colour} {c.kind}",
    )
    return str(forms[rng.integers(len(forms))])


def words(tokenizer: CLIPTokenizer, said: list[str]) -> Tensor:
    """Word ids (B, LENGTH)."""
    return tokenizer(
        said, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids  # (B, LENGTH)


class Pictures(NamedTuple):
    """Rendered pictures: pixels (B, H, W, 3) uint8, the subject's cells (B, 1, h, w) and parts (B, h, w), captions."""

    pixels: np.ndarray
    near: np.ndarray
    parts: np.ndarray
    said: list[str]


def pictures(seed: int, count: int, step: int) -> Pictures:
    """The pictures of a step."""
    data = clips("pocket-sd", seed, step, count)
    rng = rng_of("pocket-sd captions", seed, step)
    said = [caption(c, rng) for c in data]
    frames = np.stack([c.frames[0] for c in data])
    return Pictures(frames, subject_cells(data).byte().numpy(), part_cells(data).byte().numpy(), said)


def subject_cells(data: list[SpriteClip]) -> Tensor:
    """Latent cells (B, 1, h, w) near the subject of the first frames: 1, elsewhere 0."""
    near = F.max_pool2d(masks(data), 8, 4, 2)
    return near[:, :, : data[0].size // 4, : data[0].size // 4]


@torch.no_grad()
def encoded(vae: AutoencoderKL, frames: np.ndarray, device: str = "cpu") -> Tensor:
    """Latents (B, 4, h, w), times `scaling_factor`, of frames (B, H, W, 3) uint8."""
    patch = int((vae.config.in_channels // 3) ** 0.5)
    x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, H, W)
    with torch.autocast(device, torch.bfloat16):
        z = vae.encode(F.pixel_unshuffle(x, patch)).latent_dist.mean.float()
    return z * vae.config.scaling_factor
