"""Opening a video file through PyAV: a local file, allow-listed containers and codecs, its first real video stream."""

from __future__ import annotations

from pathlib import Path

import av

from motionkit.errors import UserError
from motionkit.media.limits import Limits, shown
from motionkit.media.sniff import CONTAINERS, CONVERT

CODECS = frozenset(
    "h264 hevc av1 libdav1d vp8 vp9 mpeg4 mjpeg prores ffv1 png rawvideo qtrle "
    "msmpeg4 msmpeg4v2 wmv1 wmv2 wmv3 vc1 mpeg1video mpeg2video h263 cinepak".split()
)


def opened(path: Path, kind: str) -> av.container.InputContainer:
    """A local file, opened as a container of that kind and no other. Raises: UserError when that cannot be."""
    try:
        # An absolute path with the file: prefix cannot be taken for another protocol, whatever its name.
        return av.open(
            f"file:{path.absolute()}",
            options={"format_whitelist": CONTAINERS[kind], "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(
            f"{shown(path)}: cannot be opened as a video ({_reason(error)}); it is damaged or cut off, get it again"
        ) from None


def checked(path: Path, stream: av.VideoStream, limits: Limits) -> tuple[int, int]:
    """(width, height) to decode to; refuses a codec that is not listed, and too many pixels."""
    context = stream.codec_context
    if context.codec.name not in CODECS:
        raise UserError(f"{shown(path)}: its codec {context.codec.name!r} is not supported; {CONVERT}")
    limits.check_size(path, context.width, context.height)
    context.options = {"max_pixels": str(limits.max_pixels)}  # also holds when the size changes in mid-stream
    return _display_size(path, stream, limits)


def first_video(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The first stream of moving pictures, cover pictures apart. Raises: UserError when there is none."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if streams and streams[0].codec_context is not None:
        return streams[0]
    if container.streams.video or container.streams.audio:
        raise UserError(f"{shown(path)}: has sound but no video; give a file with moving pictures")
    raise UserError(f"{shown(path)}: holds no video: its index is missing, so it is cut off; copy it again completely")


def _display_size(path: Path, stream: av.VideoStream, limits: Limits) -> tuple[int, int]:
    """(width, height) to decode to, before rotation: square pixels, within `longest_side`."""
    context = stream.codec_context
    aspect = float(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1) or 1.0
    # Only ever stretch, so that no line is lost before the final shrink.
    width = context.width * max(aspect, 1.0)
    height = context.height / min(aspect, 1.0)
    limits.check_size(path, round(width), round(height))
    return limits.shrunk(width, height)


def header_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """How long the header says that the video lasts; 0 when it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
