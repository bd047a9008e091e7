"""The sound of a video file, as far as a part of its frames lasts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from motionkit.media.clip import Sound
from motionkit.media.container import opened

CODECS = frozenset("aac mp3 mp3float mp2 mp2float ac3 opus libopus vorbis flac alac wmav1 wmav2 amrnb amrwb".split())
HIGHEST = 48_000  # samples per second that are kept
_PACKETS = 500_000
_SEEKABLE = ("mp4", "mkv")  # containers with an index that can be trusted
_WORTH_SEEKING = 4.0  # seconds


def read_sound(path: Path, kind: str, start: float, end: float) -> tuple[Sound | None, str]:
    """What is heard from `start` to `end`, seconds on the file's own clock.

    Args:
        kind: the file's container, as `read_video`.

    Returns:
        The sound, filled with silence where the file has none; and why there is none although there is a stream of it.
        Both empty for a file without sound.
    """
    with opened(path, kind) as container:
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            return None, ""
        name, rate = stream.codec_context.codec.name, min(stream.codec_context.sample_rate or 0, HIGHEST)
        if not rate or not (name in CODECS or name.startswith(("pcm_", "adpcm_"))):
            return None, f"its sound ({name}) is not supported: the result is silent"
        try:
            if kind in _SEEKABLE and start > _WORTH_SEEKING:
                container.seek(int((start - _WORTH_SEEKING / 2) * av.time_base), backward=True)
            return _decoded(container, stream, rate, start, end), ""
        except (av.error.FFmpegError, OSError, ValueError) as error:
            return None, f"its sound is damaged ({type(error).__name__}): the result is silent"


def _decoded(
    container: av.container.InputContainer, stream: av.AudioStream, rate: int, start: float, end: float
) -> Sound:
    channels = 1 if stream.codec_context.layout.nb_channels == 1 else 2
    resampler = av.AudioResampler(format="flt", layout="mono" if channels == 1 else "stereo", rate=rate)
    samples = np.zeros((max(1, round((end - start) * rate)), channels), np.float32)
    at: int | None = None  # where the next samples go
    for frame in _frames(container, stream, end):
        if frame is not None and frame.time is not None and (at is None or abs(at / rate - frame.time + start) > 0.1):
            at = round((frame.time - start) * rate)
        for piece in resampler.resample(frame):
            heard = piece.to_ndarray().reshape(-1, channels)  # (n, C)
            at = at or 0
            first, last = max(0, at), min(len(samples), at + len(heard))
            if last > first:
                samples[first:last] = heard[first - at : last - at]
            at += len(heard)
    return Sound(np.clip(np.nan_to_num(samples), -1, 1), rate)


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream, end: float
) -> Iterator[av.AudioFrame | None]:
    """Frames up to `end`, then None, which empties the resampler; damaged packets are left out."""
    packets, read = container.demux(stream), 0
    while read < _PACKETS:
        read += 1
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except av.error.EOFError:
            break
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if frame.time is not None and frame.time > end:
                yield None
                return
            yield frame
    yield None
