"""Look through a video's packets without decoding: when its frames appear, how long it lasts, whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from motionkit.errors import UserError
from motionkit.media.limits import shown
from motionkit.media.timing import spread

_MOST_PACKETS = 500_000


@dataclass(frozen=True)
class Scan:
    """What a file holds, as far as its packets tell.

    Attributes:
        count: frames.
        first: second of the first frame, on the file's own clock.
        seconds: how long the frames last.
        rate: frames per second, the average.
        times: (count,) seconds after `first`, when the frames are uneven; None when they are even or do not say.
        timed: whether every packet has a timestamp of its own.
        promised: frames that the header speaks of and an edit list does not leave out; 0 when it speaks of none.
        missing: seconds that the header promises after the last packet of any stream; below 0 it promises none.
    """

    count: int
    first: float
    seconds: float
    rate: float
    times: np.ndarray | None
    timed: bool
    promised: int
    missing: float


def scan(path: Path, container: av.container.InputContainer, stream: av.VideoStream, trusted: bool = True) -> Scan:
    """Read every packet of a file that was just opened; damage ends the reading.

    Args:
        trusted: whether the header's duration is a promise and not a guess.

    Raises:
        UserError: absurdly many packets.
    """
    starts: list[float | None] = []
    last = reached = 0.0
    packets = container.demux()
    read = 0
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError):
            break
        if packet is None:
            break
        if (read := read + 1) > _MOST_PACKETS:
            raise UserError(f"{shown(path)}: has over {_MOST_PACKETS} packets; cut out the part you need")
        if packet.size == 0 or packet.is_discard or packet.time_base is None:
            continue
        at = packet.pts if packet.pts is not None else packet.dts
        base = float(packet.time_base)
        lasts = (packet.duration or 0) * base
        if at is not None:
            reached = max(reached, at * base + lasts)
        if packet.stream_index == stream.index:
            starts.append(None if packet.pts is None else packet.pts * base)
            last = lasts
    promise = (container.duration or 0) / 1_000_000 if trusted else 0.0
    return _summary(stream, starts, last, promise - reached if promise > 0 else -1.0)


def _summary(stream: av.VideoStream, starts: list[float | None], last: float, missing: float) -> Scan:
    count = len(starts)
    header = float(stream.average_rate or stream.guessed_rate or 0)
    known = np.sort(np.array([np.nan if s is None else s for s in starts], dtype=np.float64))  # NaN at the end
    timed = count > 0 and bool(np.isfinite(known).all()) and (count == 1 or bool((np.diff(known) > 0).all()))
    if not timed:
        rate = header if header > 0 else 1.0
        first = float(known[0]) if count and np.isfinite(known[0]) else 0.0
        return Scan(count, first, count / rate, rate, None, False, promised(stream), missing)
    step = float(np.median(np.diff(known))) if count > 1 else 1 / header if header > 0 else 1.0
    edges = np.append(known, known[-1] + (last or step))
    times, rate = spread(edges)
    return Scan(count, float(known[0]), float(edges[-1] - edges[0]), rate, times, True, promised(stream), missing)


def promised(stream: av.VideoStream) -> int:
    """Frames of the header's own index, without those that an edit list leaves out."""
    if stream.frames and (entries := getattr(stream, "index_entries", None)) is not None and len(entries):
        return min(stream.frames, sum(not entry.is_discard for entry in entries))
    return stream.frames
