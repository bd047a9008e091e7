"""When each frame is shown, and choosing frames evenly in time."""

from __future__ import annotations

import numpy as np

from motionkit.media.clip import Clip, from_frames


def spread(edges: np.ndarray) -> tuple[np.ndarray | None, float]:
    """Timing of frames from their edges: frame i is shown from edges[i] to edges[i + 1] seconds.

    Returns:
        (times, fps): times is None when the frames are even to within a quarter of a frame, which is what rounding of
        timestamps to milliseconds or gif hundredths produces; fps is always frames / duration.
    """
    count = len(edges) - 1
    fps = count / float(edges[-1] - edges[0])
    times = np.asarray(edges[:-1], dtype=np.float64) - edges[0]
    even = np.abs(times - np.arange(count) / fps).max() <= 0.25 / fps
    return (None if even else times), fps


def resample(clip: Clip, frames: int | None = None, fps: float | None = None) -> Clip:
    """The clip at an even rate: each chosen frame is the one on screen at that instant.

    Args:
        clip: any clip; uneven frame times are respected.
        frames: this many instants i * duration / frames, i = 0 .. frames - 1, over the whole clip.
        fps: one instant every 1 / fps seconds. With `frames` as well, `frames` instants over the whole clip that are
            then labelled to play at `fps`.

    Returns:
        A clip of even timing; with neither argument, the clip at its own average rate.

    Raises:
        ValueError: frames < 1, or fps not positive and finite.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be a positive number, got {fps}")
    count = frames or (len(clip) if fps is None else max(1, round(clip.duration * fps)))
    played = fps or count / clip.duration
    if clip.times is None and count == len(clip) and played == clip.fps:
        return clip
    chosen = _indices(clip, count, count / clip.duration if frames or fps is None else fps)
    return from_frames(
        clip.frames[chosen],
        played,
        clip.name,
        clip.is_image and count == 1,
        notes=clip.notes,
        fitted_from=clip.fitted_from,
    )


def _indices(clip: Clip, count: int, rate: float) -> np.ndarray:
    # The small step keeps an instant that falls on a frame's own start from rounding down to the frame before it.
    if clip.times is None:
        position = np.floor(np.arange(count) * (clip.fps / rate) + 1e-6).astype(int)
    else:
        position = np.searchsorted(clip.times, np.arange(count) / rate + 1e-6, side="right") - 1
    return np.clip(position, 0, len(clip) - 1)  # (count,)
