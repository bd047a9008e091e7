"""What a clip is conditioned on, what of it survives training's dropout, and what is computed of it once per clip."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from motionkit.errors import unknown
from motionkit.methods.animatex.net.config import REFERENCE_MODES

Kept = tuple[Tensor, Tensor]  # keys and values of one attention layer, (N, heads, S, d) each


@dataclass(frozen=True)
class Conditions:
    """The conditions of B clips of F frames; T = F + 1, index 0 of every T is the slot of the reference.

    Attributes:
        text: (B, L, D) states of the text, the empty prompt's in the released model.
        frames: F.
        reference: (B, 3, H, W) in [0, 1], or None.  reference_latent: (B, C, h, w), scaled, or None.
        pose_images: (B, 3, T, H, W) in [0, 1], drawn skeletons, the reference's first, or None.
        keypoints: (B, T, 2, 18), x's then y's relative to width and height, invisible ones -1, or None.
        clip_ref: (B, 1, C) pooled features of the reference, or None.
        clip_frames: (B, T, C) the same of the reference and of each driving frame, or None.
    What is None counts as in the unconditional pass: nothing is added, tokens are zero, keypoints and features are 0.
    """

    text: Tensor
    frames: int
    reference: Tensor | None = None
    reference_latent: Tensor | None = None
    pose_images: Tensor | None = None
    keypoints: Tensor | None = None
    clip_ref: Tensor | None = None
    clip_frames: Tensor | None = None

    def empty(self) -> Conditions:
        """The conditions of the unconditional pass: the text alone."""
        return Conditions(self.text, self.frames)

    def with_reference(self, mode: str) -> Conditions:
        """The reference as pixels beside the noise ("local", as released), as a latent in slot 0 ("latent", as in the
        paper), or "both". Raises: UserError for another mode.
        """
        if mode not in REFERENCE_MODES:
            raise unknown("reference mode", mode, REFERENCE_MODES)
        dropped: dict[str, Any] = {"local": {"reference_latent": None}, "latent": {"reference": None}, "both": {}}[mode]
        return replace(self, **dropped)

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditions:
        """All tensors there, of that type; what the pose indicator reads stays float32: half precision has 8 to 11
        bits, and a keypoint at .9 of 768 pixels would move by 1.5 of them."""
        exact = ("keypoints", "clip_frames")
        types = {name: torch.float32 if name in exact else dtype for name in self._tensors()}
        moved: dict[str, Any] = {name: value.to(device, types[name]) for name, value in self._tensors().items()}
        return replace(self, **moved)

    def check(self) -> None:
        """Raises: ValueError for shapes that do not belong together."""
        batch, slots = len(self.text), self.frames + 1
        wanted = {
            "reference": (batch, 3),
            "reference_latent": (batch,),
            "pose_images": (batch, 3, slots),
            "keypoints": (batch, slots, 2, 18),
            "clip_ref": (batch, 1),
            "clip_frames": (batch, slots),
        }
        for name, value in self._tensors().items():
            if tuple(value.shape[: len(wanted.get(name, ()))]) != wanted.get(name, ()):
                raise ValueError(
                    f"{name} has shape {list(value.shape)}; for {batch} clip(s) of {self.frames} frames "
                    f"it begins with {list(wanted[name])}"
                )

    def _tensors(self) -> dict[str, Tensor]:
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class Keep:
    """Which conditions of which clip count, (B,) of 0 and 1 each, for training with dropped conditions.

    `local`, `pose`, `image`: the reference's pixels, the pose images and the image tokens are multiplied by it.
    `rest`: where 0, the indicator and slot 0 are those of the unconditional pass too.
    """

    local: Tensor
    pose: Tensor
    image: Tensor
    rest: Tensor


def draw_keep(
    batch: int, generator: torch.Generator, drop: float = 0.5, all_drop: float = 0.1, all_keep: float = 0.1
) -> Keep:
    """Draw what training keeps: a clip loses all conditions, or keeps all, or loses each of three with `drop`.

    The rates are those of the authors' class. It never drops the indicator's input and slot 0; here the clips that lose
    all lose those too, so that the unconditional pass is trained.
    """
    fate = torch.rand(batch, generator=generator)
    bare, whole = fate < all_drop, fate >= 1 - all_keep
    kept = (torch.rand(3, batch, generator=generator) >= drop) | whole
    local, pose, image = (kept & ~bare).float()
    return Keep(local, pose, image, (~bare).float())


@dataclass(frozen=True)
class Prepared:
    """Everything of B clips that does not depend on the step; only for the weights that computed it.

    Attributes:
        batch, frames: B and F.
        concat: (B, 8, F, h, w), the reference and pose branches beside the noise, or None for zeros.
        slot: (B, 12, 1, h, w), what enters in slot 0, or None for zeros.
        context: keys and values of text and image tokens at each site, one entry of N per clip.
        motion: those of the motion tokens, one entry of N per clip and slot.
    """

    batch: int
    frames: int
    concat: Tensor | None
    slot: Tensor | None
    context: tuple[Kept, ...]
    motion: tuple[Kept, ...]

    @property
    def megabytes(self) -> float:
        """How much memory it holds, in units of 10^6 bytes."""
        held = [t for kept in (*self.context, *self.motion) for t in kept]
        held += [t for t in (self.concat, self.slot) if t is not None]
        return sum(t.numel() * t.element_size() for t in held) / 1e6


def join(parts: list[Prepared]) -> Prepared:
    """Several as one batch, in that order. Raises: ValueError when their frames differ."""
    if len({part.frames for part in parts}) != 1:
        raise ValueError(f"clips of {', '.join(str(part.frames) for part in parts)} frames make no batch")

    def kept(name: str) -> tuple[Kept, ...]:
        sites = zip(*(getattr(part, name) for part in parts), strict=True)
        return tuple((torch.cat([k for k, _ in site]), torch.cat([v for _, v in site])) for site in sites)

    def maps(name: str) -> Tensor | None:
        found = next((m for part in parts if (m := getattr(part, name)) is not None), None)
        if found is None:
            return None
        blank = found.new_zeros(1, *found.shape[1:])
        own = [getattr(part, name) for part in parts]
        filled = [blank.expand(p.batch, *blank.shape[1:]) if m is None else m for p, m in zip(parts, own, strict=True)]
        return torch.cat(filled)

    batch = sum(part.batch for part in parts)
    return Prepared(batch, parts[0].frames, maps("concat"), maps("slot"), kept("context"), kept("motion"))
