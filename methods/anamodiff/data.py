"""The training data: pairs of frames of one clip, from a folder or from rendered sprites."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from motionkit.context import Reporter
from motionkit.errors import UserError
from motionkit.media import Clip, letterbox, read_clip, resample

from .keypoints import Keypoints
from .pictures import to_float

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

CLIPS = (".mp4", ".gif", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".webp")
PICTURES = (".png", ".jpg", ".jpeg")
FRAMES = 40  # at most this many frames of a clip, spread over its length
HELD_OUT = 0.1  # share of held-out clips


@dataclass(frozen=True)
class Pairs:
    """A batch of frame pairs; the targets are there only when the truth is known.

    Attributes:
        source, driving: (B, 3, H, W) in [0, 1], two moments of the same clip.
        z_source, z_driving: (B, C, h, w) their latents.
        kp_source, kp_driving: true keypoints with jacobians, in [-1, 1].
        flow, weight: (B, h, w, 2) true backward grid on the latent, and how far it counts (B, h, w).
    """

    source: Tensor
    driving: Tensor
    z_source: Tensor
    z_driving: Tensor
    kp_source: Keypoints | None = None
    kp_driving: Keypoints | None = None
    flow: Tensor | None = None
    weight: Tensor | None = None


class PairSource(Protocol):
    """A source of training pairs."""

    @property
    def held_out(self) -> bool:
        """Whether there is anything that is never trained on."""

    def identity(self) -> str:
        """What is trained on, for the run's record."""

    def batch(self, step: int, count: int, held_out: bool = False) -> Pairs:
        """`count` pairs; where nothing is held out, of what is trained on.

        The same arguments give the same pairs, so that a resumed run sees the same data.
        """


class SpritePairs:
    """Rendered characters: endless, and with their truth when it is asked for."""

    def __init__(
        self,
        backbone: VideoBackbone,
        size: int,
        side: int,
        truth: bool,
        seed: int = 0,
        *,
        frame_size: int = 0,
        setting: str = "easy",
    ) -> None:
        self.backbone, self.size, self.side, self.truth, self.seed = backbone, size, side, truth, seed
        self.frame_size, self.setting = frame_size or size, setting

    @property
    def held_out(self) -> bool:
        """Whether there are pairs that are never trained on."""
        return True

    def identity(self) -> str:
        """What is trained on, for the run's record."""
        return f"sprites, {self.setting}"

    def batch(self, step: int, count: int, held_out: bool = False) -> Pairs:
        """See `PairSource`; the held-out ones are characters, kinds and motions of the test split."""
        from .supervised import pairs

        split = "test" if held_out else "train"
        drawn = pairs("anamodiff-train", self.seed, step, count, split, self.side, self.size, self.setting)
        z_source, z_driving = self.backbone.encode(torch.cat([drawn.source, drawn.target])).chunk(2)
        seen = (self.frame_size, self.frame_size)
        source, driving = (F.interpolate(x, seen, mode="area") for x in (drawn.source, drawn.target))
        truth = (drawn.kp_source, drawn.kp_target, drawn.flow, drawn.weight) if self.truth else ()
        return Pairs(source, driving, z_source, z_driving, *truth)


class FolderPairs:
    """A folder of clips, read and encoded once: pixels for the detector and latents of both mirror images on disk."""

    def __init__(
        self,
        folder: Path,
        backbone: VideoBackbone,
        size: int,
        frame_size: int,
        cache: Path,
        seed: int = 0,
        progress: Reporter | None = None,
    ) -> None:
        self.seed = seed
        key = {"vae": backbone.fingerprint(), "size": size, "frame": frame_size, "frames": FRAMES}
        self.cache = cache / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
        self.cache.mkdir(parents=True, exist_ok=True)
        files = _clips_in(folder)
        self.clips: dict[bool, list[tuple[Path, int]]] = {False: [], True: []}  # for training, and held out
        self.skipped: list[str] = []
        for i, path in enumerate(files):
            if progress:
                progress.tick("read clips", i, len(files))
            self._add(path, path.relative_to(folder).as_posix(), backbone, size, frame_size)
        if progress and files:
            progress.tick("read clips", len(files), len(files))
        if not self.clips[False]:
            reason = f" ({self.skipped[0]})" if self.skipped else ""
            raise UserError(f"data: no clip of at least two frames in {folder}{reason}")

    def _add(self, path: Path, name: str, backbone: VideoBackbone, size: int, frame_size: int) -> None:
        facts = f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}"
        cached = self.cache / f"{hashlib.sha256(facts.encode()).hexdigest()[:24]}.safetensors"
        frames = _length(cached)
        if frames is None:
            try:
                clip = read_clip(path)
            except UserError as error:  # a bad file is left out, and counted
                self.skipped.append(f"{name}: {error}")
                return
            if len(clip) < 2:
                self.skipped.append(f"{name}: a single frame")
                return
            frames = _encode(resample(clip, frames=min(len(clip), FRAMES)), backbone, size, frame_size, cached)
        self.clips[_held_out(name)].append((cached, frames))

    @property
    def held_out(self) -> bool:
        """Whether there are clips that are never trained on."""
        return bool(self.clips[True])

    def identity(self) -> str:
        """What is trained on, for the run's record: a hash of the clips and of how they were read."""
        names = sorted(str(Path(path.parent.name, path.name)) for path, _ in self.clips[False])
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

    def batch(self, step: int, count: int, held_out: bool = False) -> Pairs:
        """See `PairSource`: two different frames of a random clip in random order, mirrored half of the time."""
        rng = np.random.default_rng([self.seed, step, int(held_out)])
        clips = self.clips[held_out] or self.clips[False]
        frames, latents = [], []
        for _ in range(count):
            path, length = clips[rng.integers(len(clips))]
            moments, flip = rng.choice(length, 2, replace=False), int(rng.integers(2))
            with safe_open(path, "pt") as file:
                pixels, encoded = file.get_slice("frames"), file.get_slice("latents")
                pair = torch.stack([pixels[int(m)] for m in moments])  # (2,H,W,3)
                latents.append(torch.stack([encoded[flip, int(m)] for m in moments]).float())
            frames.append(pair.flip(2) if flip else pair)
        stacked = torch.stack(frames).permute(1, 0, 4, 2, 3).float() / 255  # (2,B,3,H,W)
        return Pairs(*stacked, *torch.stack(latents, 1))


def _clips_in(folder: Path) -> list[Path]:
    """Video and gif files, and folders of numbered pictures."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in CLIPS and p.is_file()]
    pictures = {p.parent for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.parent != folder}
    return sorted([*files, *pictures])


def _held_out(name: str) -> bool:
    """A split by the file's name, so that it stays when clips are added."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < HELD_OUT * 2**32


def _length(cached: Path) -> int | None:
    try:
        with safe_open(cached, "pt") as file:
            return int(file.get_slice("frames").get_shape()[0])
    except (OSError, SafetensorError):
        return None


def _encode(clip: Clip, backbone: VideoBackbone, size: int, frame_size: int, path: Path) -> int:
    large = letterbox(clip, size, size)[0].frames
    small = letterbox(clip, frame_size, frame_size)[0].frames
    # Mirrored in pixels: the latent of a mirrored picture is not the mirrored latent.
    both = [backbone.encode(to_float(frames)).half().cpu() for frames in (large, large[:, :, ::-1])]
    part = path.with_suffix(".part")
    save_file({"frames": torch.from_numpy(small), "latents": torch.stack(both).contiguous()}, part)
    part.replace(path)
    return len(small)
