"""Pairs of pictures of one sprite, reference and target, with what the renderer knows of both, to train on pictures.

A clip is shown at four moments; each is a target once, with another of them as its reference.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from motionkit.perception.pose import PoseClip, draw
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import random_character, random_motion
from motionkit.sprites.world import SpriteClip, exact_flow, render_clip
from motionkit.training.ahead import Ahead
from motionkit.training.recipes.auxiliary import part_cells

from .pool import IndicatorSettings, PosePool, transform

MOMENTS = 4  # pictures of a clip
MIXED = 16  # steps from whose pictures a batch is drawn
SPREAD = 2.5  # frames between them
JITTER = 0.3  # pixels, standard deviation of a joint: a little, since .8 blurs what the pose decides
SIDE = 256  # longer side at which skeletons are drawn, as `draw.side` of the pocket's settings
# Few bodies change, in their lengths alone, as where driving poses are aligned to an estimated reference; nothing
# is realigned. More of it teaches not to trust the pose: see benchmarks/pocket/set/README.md.
EPI = IndicatorSettings(
    probability=0.1, realign=False, groups=("body_shoulder", "neck_face", "arm_leg"), each=0.3, low=0.85, high=1.15
)


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


class Rendered(NamedTuple):
    """What of the pairs of a step is made without a network, as arrays; names as in `Pairs`, pictures in 0..255."""

    target: np.ndarray
    pose: np.ndarray
    own_pose: np.ndarray
    other: np.ndarray
    near: np.ndarray
    parts: np.ndarray
    places: np.ndarray
    visible: np.ndarray
    keypoints: np.ndarray
    mask: np.ndarray


def rendered(name: str, seed: int, split: str, count: int, step: int) -> Rendered:
    """The pictures of a step, `count` of them, a multiple of MOMENTS."""
    data = moments(name, seed, step, count // MOMENTS, split)
    rng, training = rng_of(f"{name} poses", seed, step), split == "train"
    # What is measured are moments half the clip apart: a reference that stands still is 13 dB and 8 px from them.
    away = [int(rng.integers(1, MOMENTS)) if training else MOMENTS // 2 for _ in range(MOMENTS * len(data))]
    turn = [(i + step_on) % MOMENTS for i, step_on in enumerate(away)]
    own = [poses_of(c, JITTER if training else 0.0, rng) for c in data]
    epi = EPI if training else replace(EPI, probability=0.0)
    moved = [transform(p, _pool(name, seed), epi, rng)[0] for p in own]
    flows = [flow_cells(data[i // MOMENTS], i % MOMENTS, t) for i, t in enumerate(turn)]
    parts = np.stack([part_cells(data, f).byte().numpy() for f in range(MOMENTS)], 1)  # (clips, MOMENTS, h, w)
    mask = np.concatenate([c.mask for c in data])
    cells = F.max_pool2d(torch.from_numpy(mask).float()[:, None], 8, 4, 2)[..., : parts.shape[-2], : parts.shape[-1]]
    return Rendered(
        np.concatenate([c.frames for c in data]),
        np.concatenate([skeleton(p) for p in moved]),
        np.concatenate([skeleton(p) for p in own]),
        np.array([MOMENTS * (i // MOMENTS) + t for i, t in enumerate(turn)]),
        cells.byte().numpy(),
        parts.reshape(-1, *parts.shape[2:]),  # (pairs, h, w)
        np.stack([f[0] for f in flows]).astype(np.float32),
        np.stack([f[1] for f in flows]).astype(np.uint8),
        np.concatenate([c.keypoints for c in data]).astype(np.float32),
        mask,
    )


@lru_cache(maxsize=4)
def _pool(name: str, seed: int) -> PosePool:
    """Poses of training clips, from which parts are added."""
    return PosePool([poses_of(c, 0.0, rng_of(0)) for c in moments(f"{name} pool", seed, 0, 64)], seed=seed)


class ImagePairs:
    """The pairs of any step; a step's are the same whenever they are asked for.

    `workers` processes render ahead, if any; `count` is of the pairs that are rendered for a step.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        seed: int,
        count: int,
        name: str = "image pairs",
        split: str = "train",
        device: str = "cpu",
        workers: int = 0,
    ) -> None:
        self.vae, self.device, self.name, self.seed = vae, device, name, seed
        self.count, self.held = count, dict[int, Pairs]()
        self.patch = int((vae.config.in_channels // 3) ** 0.5)
        self.source = Ahead(partial(rendered, name, seed, split, count), workers)

    @torch.no_grad()
    def at(self, step: int) -> Pairs:
        """The pairs of a step."""
        made = self.source(step)
        there = {k: torch.from_numpy(v).to(self.device) for k, v in made._asdict().items()}
        pictures = ("target", "pose", "own_pose")
        target, pose, own = (there[k].permute(0, 3, 1, 2).float() / 255 for k in pictures)  # (pairs, 3, H, W) each
        latents, other = self._encode(target), there["other"]
        return Pairs(
            latents,
            latents[other],
            there["near"].float(),
            target[other],
            target,
            pose,
            own[other],
            there["parts"].long(),
            there["places"],
            there["visible"].float(),
            there["keypoints"],
            there["mask"],
        )

    def mixed(self, step: int, count: int) -> Pairs:
        """`count` pairs drawn from what was rendered for this step and those before it: hardly two show one sprite.

        A pair comes count / self.count times, on the average, each time beside others.
        """
        window = range(max(0, step - MIXED + 1), step + 1)
        self.held = {s: self.held[s] if s in self.held else self.at(s) for s in window}
        whole = len(window) * self.count
        drawn = rng_of(f"{self.name} mixed", self.seed, step).choice(whole, count, replace=whole < count)
        parts = [(self.held[window[i // self.count]], i % self.count) for i in drawn]
        return Pairs(*(torch.stack([getattr(p, f.name)[i] for p, i in parts]) for f in fields(Pairs)))

    def _encode(self, pictures: Tensor) -> Tensor:
        x = F.pixel_unshuffle(pictures * 2 - 1, self.patch)
        with torch.autocast(self.device, torch.bfloat16):
            z = self.vae.encode(x).latent_dist.mean.float()
        return z * self.vae.config.scaling_factor


def poses_of(clip: SpriteClip, jitter: float, rng: np.random.Generator) -> PoseClip:
    """The renderer's joints, moved by `jitter` pixels."""
    points = clip.openpose + jitter * rng.standard_normal(clip.openpose.shape)
    return PoseClip.of(points / clip.size, (clip.size, clip.size))


def skeleton(poses: PoseClip) -> np.ndarray:
    """The poses as pictures (F, H, W, 3) uint8."""
    return draw(poses, *poses.size, at=(SIDE, SIDE))


def flow_cells(clip: SpriteClip, target: int, source: int, cell: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Where in `source` each latent cell of `target` comes from, (2, h, w) pixels, and whether the subject shows it
    there, (1, h, w), 0 or 1.
    """
    middle = (cell - 1) // 2
    at = np.s_[middle::cell, middle::cell]
    places, valid = exact_flow(clip.parts, clip.matrices, target, source)
    visible = (valid & (clip.parts[target] >= 0))[at]  # (h, w)
    return places[at].transpose(2, 0, 1), visible[None]  # (2, h, w), (1, h, w)
