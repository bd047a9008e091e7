"""Decoding of video files through PyAV: allow-listed, bounded, upright, square pixels, with true frame times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from motionkit.errors import UserError
from motionkit.media.clip import Clip, from_frames
from motionkit.media.images import over_white
from motionkit.media.limits import Limits, shown
from motionkit.media.sniff import CONTAINERS
from motionkit.media.timing import spread

CODECS = frozenset("h264 hevc av1 libdav1d vp8 vp9 mpeg4 mjpeg prores ffv1 png rawvideo qtrle".split())
SLOWEST, FASTEST = 1 / 60, 250.0  # frames per second; outside, the timestamps are taken to be wrong
_PQ, _HLG = 16, 18  # transfer characteristics of HDR video, ITU-T H.273 table 3


@dataclass
class _Decoded:
    frames: list[np.ndarray] = field(default_factory=list)
    starts: list[float | None] = field(default_factory=list)
    last_seconds: float | None = None
    errors: int = 0
    hdr: bool = False


def read_video(path: Path, kind: str, limits: Limits) -> Clip:
    """Decode the first real video stream of a file.

    Args:
        path: a local file.
        kind: its container, a key of `CONTAINERS`, as told by its first bytes.
        limits: checked on the header first, then again on what is really there.

    Raises:
        UserError: not decodable, of a codec that is not read here, or over a limit.
    """
    try:
        # An absolute path with the file: prefix cannot be taken for another protocol, whatever its name.
        container = av.open(
            f"file:{path.absolute()}",
            options={"format_whitelist": CONTAINERS[kind], "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(
            f"{shown(path)}: cannot be opened as a video ({_reason(error)}); it is damaged or cut off, get it again"
        ) from None
    with container:
        stream = _stream(path, container)
        context = stream.codec_context
        if context.codec.name not in CODECS:
            raise UserError(
                f"{shown(path)}: its codec {context.codec.name!r} is not read here; convert it to H.264 mp4"
            )
        limits.check_size(path, context.width, context.height)
        width, height = _display_size(path, stream, limits)
        limits.check_frames(path, stream.frames, width, height)
        limits.check_seconds(path, _header_seconds(container, stream))
        decoded = _decode(path, container, stream, (width, height), limits)
        return _clip(path, stream, decoded, _header_seconds(container, stream))


def _stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
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
    return limits.fit(width, height)


def _header_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _decode(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, size: tuple[int, int], limits: Limits
) -> _Decoded:
    context = stream.codec_context
    context.options = {"max_pixels": str(limits.max_pixels)}  # also holds when the size changes in mid-stream
    out = _Decoded()
    for frame in _frames(container, stream, out):
        if frame.time is not None and out.frames:
            limits.check_seconds(path, frame.time - (out.starts[0] or 0.0))
        out.hdr |= frame.color_trc in (_PQ, _HLG)
        out.errors += bool(frame.is_corrupt)
        out.frames.append(_upright(_to_rgb(frame, size), frame))
        out.starts.append(frame.time)
        out.last_seconds = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
        limits.check_frames(path, len(out.frames), *size)
    if not out.frames:
        raise UserError(f"{shown(path)}: not one frame can be decoded; the video is damaged, get it again")
    return out


def _frames(container: av.container.InputContainer, stream: av.VideoStream, out: _Decoded) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; what cannot be is counted in `out.errors`."""
    decoder = stream.codec_context
    if decoder.codec.name == "vp9" and stream.metadata.get("alpha_mode") == "1":
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own VP9 decoder drops the alpha plane
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            out.errors += 1
            packet = None  # the file ends here; a last flush still gives the frames that were held back
        try:
            yield from decoder.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            out.errors += 1
        if packet is None or packet.dts is None and packet.size == 0:
            return


def _to_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    alpha = frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if alpha else "rgb24", width=size[0], height=size[1], interpolation="AREA")
    return over_white(pixels) if alpha else pixels


def _upright(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Apply the frame's display matrix (phones store pictures turned): quarter turns and mirrors."""
    sides: list[Any] = list(frame.side_data)
    matrix = next((bytes(side) for side in sides if side.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(matrix, "=i4")[:5]  # x' = a x + c y, y' = b x + d y, with y down
    if abs(int(a)) + abs(int(d)) < abs(int(b)) + abs(int(c)):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _clip(path: Path, stream: av.VideoStream, decoded: _Decoded, promised: float) -> Clip:
    frames, notes = decoded.frames, []
    if decoded.errors:
        notes.append(f"the file is damaged: {decoded.errors} decoding error{'s' * (decoded.errors > 1)}")
    if decoded.hdr:
        notes.append("HDR video: read without tone mapping, so colours look pale")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise UserError(f"{shown(path)}: turns its picture in mid-stream; re-encode it first")
    edges = _edges(path, stream, decoded, notes)
    if stream.frames > len(frames):
        notes.append(f"the file is cut off: {len(frames)} of {stream.frames} frames were read")
    elif edges[-1] + 0.5 < promised:
        notes.append(f"the file is cut off: {edges[-1]:.1f} of {promised:.1f} seconds were read")
    times, fps = spread(edges)
    if not SLOWEST <= fps <= FASTEST:
        raise UserError(
            f"{shown(path)}: its timestamps say {fps:g} frames per second, which cannot be right; "
            "re-encode it with a true rate (ffmpeg -r 24 -i IN OUT.mp4)"
        )
    return from_frames(np.stack(frames), fps, path.stem, times=times, notes=tuple(notes))


def _edges(path: Path, stream: av.VideoStream, decoded: _Decoded, notes: list[str]) -> np.ndarray:
    """(F + 1,) seconds: when each frame appears, and when the last one ends."""
    count = len(decoded.frames)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    starts = np.array([np.nan if s is None else s for s in decoded.starts], dtype=np.float64)
    if np.isfinite(starts).all() and (np.diff(starts) > 0).all():
        step = float(np.median(np.diff(starts))) if count > 1 else 1 / rate if rate > 0 else 1.0
        return np.append(starts, starts[-1] + (decoded.last_seconds or step))
    if rate <= 0:
        raise UserError(f"{shown(path)}: has no timestamps and no frame rate; re-encode it (ffmpeg -i IN OUT.mp4)")
    notes.append(f"timestamps are missing or out of order; read at the header's {rate:g} frames per second")
    return np.arange(count + 1) / rate


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
