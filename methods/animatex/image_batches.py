"""Pairs of pictures of one sprite, reference and target, with what the renderer knows of both, to train on pictures.

A clip is shown at four moments; each is a target once, with another of them as its reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from motionkit.perception.pose import PoseClip, draw
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.sprites.world import SpriteClip, exact_flow, render_clip
from motionkit.training.auxiliary import part_cells

from .pool import IndicatorSettings, PosePool, transform

MOMENTS = 4  # pictures of a clip
SPREAD = 2.5  # frames between them
JITTER = 0.8  # pixels, standard deviation of a joint: estimated poses are not exact
SIDE = 256  # longer side at which skeletons are drawn, as `draw.side` of the pocket's settings
# Bodies change a little, as where driving poses are fitted to a reference that was estimated; nothing is realigned.
EPI = IndicatorSettings(probability=0.3, realign=False, each=0.3, low=0.85, high=1.15)


@dataclass(frozen=True)
class Pairs:
    """B targets with their references.

    Attributes:
        clean, reference_latent: (B, 4, h, w).  near: (B, 1, h, w), 1 near the subject.
        reference, target: pictures (B, 3, H, W) in [0, 1].
        pose, reference_pose: skeletons (B, 3, H, W) in [0, 1].
        parts: (B, h, w), the part that each cell shows, 0 for none.
        places: (B, 2, h, w), where in the reference each cell's content is, pixels.  visible: (B, 1, h, w), whether the
            reference shows it there.
        keypoints: (B, 12, 2) of the target, pixels.  mask: (B, H, W) bool, its subject.
    """

    clean: Tensor
    reference_latent: Tensor
    near: Tensor
    reference: Tensor
    target: Tensor
    pose: Tensor
    reference_pose: Tensor
    parts: Tensor
    places: Tensor
    visible: Tensor
    keypoints: Tensor
    mask: Tensor


def moments(name: str, seed: int, step: int, count: int, split: str = "train") -> list[SpriteClip]:
    """Random clips of a split, each shown at MOMENTS times."""
    rng = rng_of(name, seed, step, split)
    out = []
    for _ in range(count):
        character, motion = random_character(rng, split), random_motion(rng, split)
        out.append(render_clip(character, replace(motion, speed=motion.speed * SPREAD), MOMENTS))
    return out


class ImagePairs:
    """The pairs of any step; a step's are the same whenever they are asked for."""

    def __init__(self, vae: AutoencoderKL, seed: int, name: str = "image pairs", split: str = "train") -> None:
        self.vae, self.seed, self.name, self.split = vae, seed, name, split
        self.patch = int((vae.config.in_channels // 3) ** 0.5)
        training = split == "train"
        self.jitter, self.epi = (JITTER, EPI) if training else (0.0, replace(EPI, probability=0.0))
        self.pool = PosePool([poses_of(c, 0.0, rng_of(0)) for c in moments(f"{name} pool", seed, 0, 64)], seed=seed)

    @torch.no_grad()
    def at(self, step: int, count: int) -> Pairs:
        """The pairs of a step, `count` of them, a multiple of MOMENTS."""
        data = moments(self.name, self.seed, step, count // MOMENTS, self.split)
        rng = rng_of(f"{self.name} poses", self.seed, step)
        turn = [(f + int(rng.integers(1, MOMENTS))) % MOMENTS for _ in data for f in range(MOMENTS)]
        other = torch.tensor([MOMENTS * (i // MOMENTS) + t for i, t in enumerate(turn)])  # (B,), of the reference
        pictures = torch.from_numpy(np.concatenate([c.frames for c in data])).permute(0, 3, 1, 2).float() / 255
        latents = self._encode(pictures)
        own = [poses_of(c, self.jitter, rng) for c in data]
        moved = torch.cat([skeleton(transform(p, self.pool, self.epi, rng)[0]) for p in own])
        plain = torch.cat([skeleton(p) for p in own])
        parts = torch.cat([part_cells(data, f) for f in range(MOMENTS)])  # by moment, then by clip
        parts = parts.unflatten(0, (MOMENTS, -1)).transpose(0, 1).flatten(0, 1)  # (B, h, w), clip by clip
        flows = [flow_cells(data[i // MOMENTS], i % MOMENTS, t) for i, t in enumerate(turn)]
        mask = torch.from_numpy(np.concatenate([c.mask for c in data]))
        near = F.max_pool2d(mask.float()[:, None], 8, 4, 2)[..., : latents.shape[2], : latents.shape[3]]
        points = torch.from_numpy(np.concatenate([c.keypoints for c in data])).float()
        places, visible = (torch.stack(x) for x in zip(*flows, strict=True))
        return Pairs(
            latents,
            latents[other],
            near,
            pictures[other],
            pictures,
            moved,
            plain[other],
            parts,
            places,
            visible,
            points,
            mask,
        )

    def _encode(self, pictures: Tensor) -> Tensor:
        x = F.pixel_unshuffle(pictures * 2 - 1, self.patch)
        with torch.autocast("cpu", torch.bfloat16):
            z = self.vae.encode(x).latent_dist.mean.float()
        return z * self.vae.config.scaling_factor


def poses_of(clip: SpriteClip, jitter: float, rng: np.random.Generator) -> PoseClip:
    """The renderer's joints, moved by `jitter` pixels."""
    points = clip.openpose + jitter * rng.standard_normal(clip.openpose.shape)
    return PoseClip.of(points / clip.size, (clip.size, clip.size))


def skeleton(poses: PoseClip) -> Tensor:
    """The poses as pictures (F, 3, H, W) in [0, 1]."""
    drawn = draw(poses, *poses.size, at=(SIDE, SIDE))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)


def flow_cells(clip: SpriteClip, target: int, source: int, cell: int = 4) -> tuple[Tensor, Tensor]:
    """Where in `source` each latent cell of `target` comes from, (2, h, w) pixels, and whether the subject shows it
    there, (1, h, w), 0 or 1.
    """
    middle = (cell - 1) // 2
    at = np.s_[middle::cell, middle::cell]
    places, valid = exact_flow(clip.parts, clip.matrices, target, source)
    visible = (valid & (clip.parts[target] >= 0))[at]  # (h, w)
    return torch.from_numpy(places[at]).permute(2, 0, 1).float(), torch.from_numpy(visible)[None].float()
