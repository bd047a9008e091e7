"""A clip as a file that gives back the same pixels and the same timing."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from motionkit.media import Clip, replacing

SUFFIX = ".mov"
_FINE = Fraction(1, 90_000)  # seconds; gif and the usual rates of video are whole numbers of these


def write_lossless(path: Path, clip: Clip) -> None:
    """Write PNG frames in a QuickTime file, each shown as long as in the clip.

    A folder of pictures would lose the frame rate, and another rate would repeat or drop frames.

    Args:
        path: ends in .mov; overwritten when it exists.

    Raises:
        UserError: the place cannot be written.
    """
    rate = Fraction(clip.fps).limit_denominator(10_000)
    tick, starts = 1 / rate, list(range(len(clip) + 1))
    if clip.times is not None:
        tick = _FINE
        starts = [round(float(second) / tick) for second in (*clip.times, clip.duration)]
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mov") as container:
        stream = container.add_stream("png", rate=rate)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "rgb24"
        stream.codec_context.time_base = tick
        packets = []
        for start, frame in zip(starts, clip.frames, strict=False):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = start, tick
            packets += stream.encode(picture)
        packets += stream.encode(None)
        for packet, (start, end) in zip(packets, pairwise(starts), strict=True):
            packet.duration = end - start  # the encoder takes every frame to last one frame of the mean rate
            container.mux(packet)
