"""When each frame is shown, and choosing frames evenly in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motionkit.media.clip import Clip, from_frames
from motionkit.media.part import Part, Wanted, choose

ROUNDING = 0.0051  # seconds: times in hundredths, as gifs have them, are off by up to half of one


def on_grid(edges: np.ndarray) -> tuple[np.ndarray, int]:
    """The edges of frames, from 0 s, on the even grid that they were rounded from, and how many steps it has.

    Equal neighbours are often stored once with their joint time: the other frames then show the step. Edges that are
    not on a grid to within `ROUNDING` stay as they are, with as many steps as frames.
    """
    lengths, whole = np.diff(edges), float(edges[-1])
    if (lengths <= 0).any():
        return edges, len(lengths)
    usual = float(lengths[lengths < 1.5 * np.median(lengths)].mean())
    steps = max(1, round(whole / usual))
    even = np.rint(edges * steps / whole) * whole / steps
    if np.abs(even - edges).max() <= ROUNDING and (np.diff(even) > 0).all():
        return even, steps
    return edges, len(lengths)


def steady(clip: Clip) -> Clip:
    """A clip of even timing: one frame for every step of its grid, repeated where it is shown for several.

    A clip whose times are on no grid stays as it is.
    """
    if clip.times is None:
        return clip
    steps = on_grid(np.append(clip.times, clip.duration))[1]
    return clip if steps == len(clip) else resample(clip, fps=steps / clip.duration)


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
    return (None if even else on_grid(np.append(times, count / fps))[0][:-1]), fps


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
    return _chosen(clip, chosen, played)


def take(clip: Clip, wanted: Wanted, repeat: bool = True) -> Clip:
    """The part of a clip that is wanted, by the rule of `choose`; a note says which part it is.

    Args:
        repeat: whether frames come several times where more are wanted than there are; else the part as it is.

    Raises:
        UserError: an empty part.
    """
    if len(clip) == 1:
        return clip
    part = choose(wanted, clip.duration, clip.fps, clip.times)
    if part is not None and not repeat:
        part = part.without_repeats(clip.fps)
    even = clip.times is None
    if part is None or even and part.count == len(clip) and part.fps == clip.fps and not part.start:
        return clip
    chosen = _indices(clip, part.count, part.fps, part.start)
    taken = _chosen(clip, chosen, part.fps)
    sound = clip.sound.cut(part.start, part.end) if clip.sound else None
    return replace(taken, notes=(*taken.notes, *part_notes(part, chosen)), sound=sound)


def part_notes(part: Part, chosen: np.ndarray) -> tuple[str, ...]:
    """The notes on a part: which one it is, unless it is the whole, and whether frames are repeated."""
    lines = [part.line] if part.line else []
    if (distinct := len(np.unique(chosen))) < part.count:
        lines.append(
            f"{part.count} frames are made of {distinct}: some are repeated (frames={distinct} uses each once)"
        )
    return tuple(lines)


def _chosen(clip: Clip, chosen: np.ndarray, fps: float) -> Clip:
    taken = from_frames(
        clip.frames[chosen],
        fps,
        clip.name,
        clip.is_image and len(chosen) == 1,
        notes=clip.notes,
        fitted_from=clip.fitted_from,
    )
    return replace(taken, transparent=clip.transparent)


def _indices(clip: Clip, count: int, rate: float, start: float = 0.0) -> np.ndarray:
    # The small step keeps an instant that falls on a frame's own start from rounding down to the frame before it.
    if clip.times is None:
        position = np.floor(start * clip.fps + np.arange(count) * (clip.fps / rate) + 1e-6).astype(int)
    else:
        position = np.searchsorted(clip.times, start + np.arange(count) / rate + 1e-6, side="right") - 1
    return np.clip(position, 0, len(clip) - 1)  # (count,)
