"""Training examples: reference and driving frames of one clip, the driving poses on another body.

Every number that an example needs is drawn from its place in the training alone, so that a resumed run, and several
processes that share the work, see what one uninterrupted process would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.methods.animatex.net import Conditions, Keep, draw_keep
from motionkit.perception.pose import PoseClip
from motionkit.weights.hashing import seed_from

from .method import floats
from .pool import Change, PosePool, transform
from .poses import joined, skeletons
from .sample import frame_indices, offset_noise
from .train_config import TrainOptions
from .train_data import EncodedClip, PoseClips, pictures_of, tensor_of

NEAR = 5  # latents: how far around the skeleton errors count more


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes:
        clean, noise: (B, 4, F, h, w).  t: (B,).
        given: all conditions but the features of an image encoder that learns.
        seen: what such an encoder looks at, (B, T, 3, H, W) in [0, 1], the reference first; None with a frozen one.
        keep: which conditions count.  near: (B, 1, F, h, w), 1 near the body.  changes: what was done to the poses.
    """

    clean: Tensor
    noise: Tensor
    t: Tensor
    given: Conditions
    seen: Tensor | None
    keep: Keep
    near: Tensor
    changes: tuple[Change, ...]


class Examples:
    """The batch of any number, of the clips to train on or of the held-out ones."""

    def __init__(
        self,
        clips: PoseClips,
        options: TrainOptions,
        text: Tensor,
        side: int,
        seed: int,
        factor: int,
        held_out: bool = False,
    ) -> None:
        self.clips, self.options, self.text, self.side, self.factor = clips, options, text, side, factor
        self.entries = clips.held_out if held_out and clips.held_out else clips.train
        self.seed, self.frames = seed, options.recipe.frames
        readings = [clips.poses(entry) for entry in clips.train]
        self.pool = PosePool(readings, seed=seed)

    def at(self, number: int, count: int) -> Batch:
        """The `number`-th batch of `count` examples; every clip comes once before any comes again."""
        parts = [self._example(place) for place in range(number * count, (number + 1) * count)]
        conditions = [p.given for p in parts]

        def cat(name: str) -> Tensor | None:
            values = [getattr(c, name) for c in conditions]
            return None if values[0] is None else torch.cat(values)

        names = ("reference", "reference_latent", "pose_images", "keypoints", "clip_ref", "clip_frames")
        given = Conditions(torch.cat([c.text for c in conditions]), self.frames, **{name: cat(name) for name in names})
        keep = Keep(*(torch.cat([getattr(p.keep, n) for p in parts]) for n in ("local", "pose", "image", "rest")))
        seen = None if parts[0].seen is None else torch.cat([p.seen for p in parts if p.seen is not None])
        stacked = {n: torch.cat([getattr(p, n) for p in parts]) for n in ("clean", "noise", "t", "near")}
        return Batch(**stacked, given=given, seen=seen, keep=keep, changes=sum((p.changes for p in parts), ()))

    def _example(self, place: int) -> Batch:
        options = self.options
        rng = np.random.default_rng([self.seed, 1, place])
        generator = torch.Generator().manual_seed(seed_from(self.seed, f"animatex example {place}"))
        entry = self._entry(place)
        which, reference = self._frames(entry, rng)
        own = self.clips.poses(entry, int(rng.integers(entry.readings)))
        moved, change = transform(own.frames(which), self.pool, options.epi, rng)
        poses = joined(own.frames([reference]), moved)
        clean = tensor_of(entry, "latents", [*which, reference]).transpose(0, 1)[None]  # (1, 4, F + 1, h, w)
        given, seen = self._given(entry, which, reference, poses, clean[:, :, -1], rng)
        keep = draw_keep(1, generator, options.drop, options.all_drop, options.all_keep)
        return Batch(
            clean[:, :, :-1],
            self._noise(clean[:, :, :-1].shape, generator),
            self._time(generator),
            given,
            seen,
            keep,
            self._near(own.frames(which)),
            (change,),
        )

    def _entry(self, place: int) -> EncodedClip:
        turn, index = divmod(place, len(self.entries))
        return self.entries[np.random.default_rng([self.seed, 0, turn]).permutation(len(self.entries))[index]]

    def _frames(self, entry: EncodedClip, rng: np.random.Generator) -> tuple[list[int], int]:
        """Numbers of the driving frames, and of the reference's."""
        spare = max(0, entry.length - 1 - (self.frames - 1) * self.options.stride)
        start = int(rng.integers(spare + 1))
        which = [start + i for i in frame_indices(entry.length - start, self.frames, self.options.stride)]
        return which, int(rng.integers(entry.length))

    def _given(
        self,
        entry: EncodedClip,
        which: list[int],
        reference: int,
        poses: PoseClip,
        latent: Tensor,
        rng: np.random.Generator,
    ) -> tuple[Conditions, Tensor | None]:
        """The conditions of one clip, and what an encoder that learns sees."""
        options, slots = self.options, [reference, *which]
        drawn = skeletons(poses, *self.clips.size, self.side, faces=False)  # (T, H, W, 3)
        seen = features = None
        if options.trains_encoder:
            pictures = floats(pictures_of(entry, slots))  # (T, 3, H, W)
            seen = (recoloured(pictures, rng) if options.recolour else pictures)[None]
            picture = pictures[:1]
        else:
            features = tensor_of(entry, "features", slots)[None]  # (1, T, C)
            picture = floats(pictures_of(entry, [reference]))
        given = Conditions(
            self.text,
            len(which),
            picture,
            latent,
            floats(drawn).transpose(0, 1)[None],  # (1, 3, T, H, W)
            torch.from_numpy(poses.keypoints())[None] if options.indicator else None,
            None if features is None else features[:, :1],
            features if options.indicator else None,
        ).with_reference(options.reference_mode)
        return given, seen

    def _noise(self, shape: Sequence[int], generator: torch.Generator) -> Tensor:
        most = self.options.noise_share
        share = most * float(torch.rand(1, generator=generator)) if most else 0.0
        return offset_noise(shape, generator, self.options.offset, share)

    def _time(self, generator: torch.Generator) -> Tensor:
        share = torch.rand(1, generator=generator)
        share = share.sqrt() if self.options.recipe.timesteps == "late" else share
        return (share * 1000).long().clamp(max=999)

    def _near(self, poses: PoseClip) -> Tensor:
        """Latents (1, 1, F, h, w) near the true skeleton: 1, elsewhere 0."""
        drawn = skeletons(poses, *self.clips.size, self.side, faces=False)  # (F, H, W, 3)
        shown = torch.from_numpy(drawn.max(-1) > 0).float()  # (F, H, W)
        cells = F.max_pool2d(shown[:, None], self.factor)  # (F, 1, h, w)
        return F.max_pool2d(cells, NEAR, 1, NEAR // 2).transpose(0, 1)[None]  # (1, 1, F, h, w)


def recoloured(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """A clip (T, 3, H, W) whose driving frames, all but the first, have other colours, the same ones in each."""
    gain = torch.tensor(rng.uniform(0.6, 1.4, (3, 1, 1)), dtype=torch.float32)
    shift = torch.tensor(rng.uniform(-0.2, 0.2, (3, 1, 1)), dtype=torch.float32)
    order = torch.from_numpy(rng.permutation(3))
    return torch.cat([pictures[:1], ((pictures[1:, order] - 0.5) * gain + 0.5 + shift).clamp(0, 1)])
