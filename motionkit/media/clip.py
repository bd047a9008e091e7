"""The clip: frames of one size with their timing, and a hash of exactly what a method will see."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Sound:
    """Sound in memory: samples (n, channels) float32 in [-1, 1], `rate` of them per second."""

    samples: np.ndarray = field(repr=False)
    rate: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate

    def cut(self, start: float, end: float) -> Sound:
        """What is heard between two seconds."""
        first, last = (max(0, round(second * self.rate)) for second in (start, end))
        return Sound(np.ascontiguousarray(self.samples[first:last]), self.rate)


@dataclass(frozen=True, eq=False)
class Clip:
    """A picture or a video in memory.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB, F >= 1.
        fps: frames per second; for uneven timing the average, so that `duration` is always F / fps.
        name: its name in reports (the file's stem).
        sha256: hash of the pixels, their shape and their timing; not of the file.
        is_image: read from a still picture.
        times: (F,) float64, second at which each frame appears, first is 0; None when frames are evenly spaced.
        notes: what reading had to repair, one line each.
        original: (H0, W0, 3) uint8, a still picture as it was before it was resized to a working size: what shrinking
            would lose, such as thin lines, is still there. None when nothing was lost.
        fitted_from: (height, width) of the frames before they were resized to a working size; None when they were not.
        transparent: the file had transparency, which was laid over white.
        sound: what is heard while the frames are shown; no part of the hash.
    """

    frames: np.ndarray
    fps: float
    name: str
    sha256: str
    is_image: bool = False
    times: np.ndarray | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    original: np.ndarray | None = field(default=None, repr=False)
    fitted_from: tuple[int, int] | None = None
    transparent: bool = False
    sound: Sound | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def height(self) -> int:
        """Rows of a frame, pixels."""
        return self.frames.shape[1]

    @property
    def width(self) -> int:
        """Columns of a frame, pixels."""
        return self.frames.shape[2]

    @property
    def source_size(self) -> tuple[int, int]:
        """(height, width) of the clip as it was given, to which coordinates of other files belong."""
        return self.fitted_from or (self.height, self.width)

    @property
    def duration(self) -> float:
        """Seconds from the first frame's appearance to the last one's end."""
        return len(self.frames) / self.fps


def from_frames(
    frames: np.ndarray,
    fps: float = 8.0,
    name: str = "clip",
    is_image: bool = False,
    *,
    times: np.ndarray | None = None,
    notes: tuple[str, ...] = (),
    original: np.ndarray | None = None,
    fitted_from: tuple[int, int] | None = None,
) -> Clip:
    """A clip of frames that are already in memory: (F, H, W, 3) or one (H, W, 3), uint8 RGB.

    Raises:
        ValueError: wrong dtype or shape, no frame, or an fps that is not a positive finite number.
    """
    frames = np.asarray(frames)
    if frames.ndim == 3:
        frames = frames[None]  # (1, H, W, 3)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a positive number, got {fps}")
    frames = np.ascontiguousarray(frames)
    digest = _digest(frames, float(fps), times, original, fitted_from)
    return Clip(frames, float(fps), name, digest, is_image, times, notes, original, fitted_from)


def _digest(
    frames: np.ndarray,
    fps: float,
    times: np.ndarray | None,
    original: np.ndarray | None,
    fitted_from: tuple[int, int] | None,
) -> str:
    facts = (frames.shape, fps) if fitted_from is None else (frames.shape, fps, fitted_from)
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(frames.data)
    if times is not None:
        digest.update(np.ascontiguousarray(times, dtype=np.float64).data)
    if original is not None:  # a method may read it
        digest.update(repr(original.shape).encode())
        digest.update(np.ascontiguousarray(original).data)
    return digest.hexdigest()
