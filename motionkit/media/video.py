"""Decoding of video files through PyAV: allow-listed, bounded, upright, square pixels, with true frame times."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np

from motionkit.errors import UserError
from motionkit.media.clip import Clip, from_frames
from motionkit.media.container import checked, first_video, header_seconds, opened
from motionkit.media.limits import Limits, shown
from motionkit.media.part import Part, Wanted, choose
from motionkit.media.pixels import to_rgb, upright
from motionkit.media.scan import Scan, scan
from motionkit.media.sound import read_sound
from motionkit.media.store import Store
from motionkit.media.timing import part_notes, spread

SLOWEST, FASTEST = 1 / 60, 250.0  # frames per second; outside, the timestamps are taken to be wrong
_PQ, _HLG = 16, 18  # transfer characteristics of HDR video, ITU-T H.273 table 3
_SEEKABLE = ("mp4", "mkv")  # containers with an index that can be trusted
_PROMISING = ("mp4", "mkv", "avi")  # containers whose header says how long they are; of others it is a guess
_WORTH_SEEKING = 2.0  # seconds
_CUT = 1.5  # frames that may be missing at the end before a file is called cut off
_SWEEP = 8  # frames
_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders of these drop the alpha plane


class _OutOfOrder(Exception):
    """Frames without a time, or out of order: what is on screen at an instant is found by counting."""


class _TooLate(Exception):
    """Seeking ended behind the instant that is wanted."""


@dataclass
class _Decoded:
    store: Store
    starts: list[float | None] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    last_seconds: float | None = None
    errors: int = 0
    hdr: bool = False
    alpha: bool = False
    turned: bool | None = None  # whether the first frame has a display matrix


def read_video(path: Path, kind: str, limits: Limits, wanted: Wanted | None = None) -> Clip:
    """Decode the first real video stream of a file, or the part of it that is wanted.

    Args:
        path: a local file.
        kind: its container, a key of `CONTAINERS`, as told by its first bytes.
        limits: checked on the header first, then again on what is really there; of a part, on what is kept.
        wanted: None for all frames. Never more frames than are there.

    Raises:
        UserError: not decodable, of an unsupported codec, or over a limit.
    """
    with opened(path, kind) as container:
        stream = first_video(path, container)
        size = checked(path, stream, limits)
        if wanted is None:
            limits.check_frames(path, stream.frames, *size)
            limits.check_seconds(path, header_seconds(container, stream))
        facts = scan(path, container, stream, kind in _PROMISING)
    part = None
    if wanted is not None and facts.count > 1:
        _check_rate(path, facts.rate)
        part = choose(wanted, facts.seconds, facts.rate, facts.times)
    if part is not None:
        part = part.without_repeats(facts.rate)
        clip = _read_part(path, kind, limits, size, part, facts)
    else:
        clip = _read_all(path, kind, limits, size, facts)
    if wanted is None or not wanted.sound:
        return clip
    start = facts.first + (part.start if part else 0.0)
    sound, trouble = read_sound(path, kind, start, start + clip.duration)
    return replace(clip, sound=sound, notes=(*clip.notes, *([trouble] if trouble else [])))


def _read_all(path: Path, kind: str, limits: Limits, size: tuple[int, int], facts: Scan) -> Clip:
    with opened(path, kind) as container:
        stream = first_video(path, container)
        checked(path, stream, limits)
        decoded = _decode(path, container, stream, size, limits, facts)
        return _clip(path, stream, decoded, facts)


def _decode(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    size: tuple[int, int],
    limits: Limits,
    facts: Scan,
) -> _Decoded:
    """All frames."""
    out = _Decoded(Store(path, facts.count))
    for frame in _frames(container, stream, out):
        if frame.time is not None and out.starts:
            limits.check_seconds(path, frame.time - (out.starts[0] or 0.0))
        _note(frame, out)
        out.store.add(_picture(frame, size, out))
        out.starts.append(frame.time)
        if out.turned and len(out.starts) % _SWEEP == 0:
            gc.collect(0)
        out.last_seconds = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
        limits.check_frames(path, len(out.starts), *size)
    if not out.starts:
        raise UserError(f"{shown(path)}: no frame can be decoded; the video is damaged, get it again")
    return out


def _read_part(path: Path, kind: str, limits: Limits, size: tuple[int, int], part: Part, facts: Scan) -> Clip:
    """The frames on screen at a part's instants: by seeking where that is safe, else from the start, else by number."""
    limits.check_frames(path, part.count, *size)
    limits.check_seconds(path, part.end - part.start)
    ways = [(True, True), (False, True), (False, False)]
    if kind not in _SEEKABLE or part.start < _WORTH_SEEKING or not facts.timed:
        ways = ways[1:] if facts.timed else ways[2:]
    for seek, by_time in ways:
        try:
            with opened(path, kind) as container:
                stream = first_video(path, container)
                checked(path, stream, limits)
                if seek:
                    at = int((facts.first + part.start) / stream.time_base)
                    container.seek(at, stream=stream, backward=True)
                decoded = _pick(path, container, stream, size, limits, part, facts, by_time)
        except (_OutOfOrder, _TooLate):
            continue
        except (av.error.FFmpegError, OSError):  # of seeking
            continue
        notes = [*_damage(decoded), *_cut_off(facts), *part_notes(part, np.array(decoded.chosen))]
        clip = from_frames(decoded.store.frames, part.fps, path.stem, notes=tuple(notes))
        return replace(clip, transparent=decoded.alpha)
    raise UserError(f"{shown(path)}: no frame of that part can be decoded; give another start= or file")


def _pick(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    size: tuple[int, int],
    limits: Limits,
    part: Part,
    facts: Scan,
    by_time: bool,
) -> _Decoded:
    out, instants = _Decoded(Store(path, part.count)), part.instants
    shows: av.VideoFrame | None = None  # the frame on screen until the next one begins
    began, image = -1.0, None

    def serve(until: float) -> None:
        nonlocal image
        while len(out.chosen) < part.count and instants[len(out.chosen)] < until:
            if image is None:
                image = _picture(shows, size, out)
            out.store.add(image)
            out.chosen.append(number - 1)

    for number, frame in enumerate(_frames(container, stream, out)):
        limits.check_work(path, number)
        begins = _begins(frame, facts) if by_time else number / facts.rate
        if begins is None or begins <= began:
            raise _OutOfOrder
        if shows is None and begins > instants[0] + 0.5 / facts.rate:
            raise _TooLate
        if shows is not None:
            serve(begins)
        if len(out.chosen) == part.count:
            return out
        _note(frame, out)
        shows, began, image = frame, begins, None
    if shows is None:
        raise _TooLate
    number += 1
    serve(began + max(1.5 / facts.rate, 1.5 / part.fps))
    if not out.chosen:
        raise _TooLate
    return out


def _picture(frame: av.VideoFrame, size: tuple[int, int], out: _Decoded) -> np.ndarray:
    rgb, clear = to_rgb(frame, size)
    out.alpha |= clear
    image, turned = upright(rgb, frame, out.turned)
    out.turned = out.turned or turned
    return image


def _begins(frame: av.VideoFrame, facts: Scan) -> float | None:
    """Second of the clip at which a frame appears; of an even clip without what rounding did to it."""
    if frame.time is None or facts.times is not None:
        return None if frame.time is None else frame.time - facts.first
    return round((frame.time - facts.first) * facts.rate) / facts.rate


def _note(frame: av.VideoFrame, out: _Decoded) -> None:
    out.hdr |= frame.color_trc in (_PQ, _HLG)
    out.errors += bool(frame.is_corrupt)


def _frames(container: av.container.InputContainer, stream: av.VideoStream, out: _Decoded) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; what cannot be is counted in `out.errors`."""
    decoder = stream.codec_context
    if decoder.codec.name in _ALPHA and stream.metadata.get("alpha_mode") == "1":
        decoder = av.CodecContext.create(_ALPHA[decoder.codec.name], "r")
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            out.errors += 1
            packet = None  # the file ends here; a last flush still returns the frames that the decoder held back
        try:
            yield from decoder.decode(packet)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            out.errors += 1
        if packet is None or packet.dts is None and packet.size == 0:
            return


def _damage(decoded: _Decoded) -> list[str]:
    notes = []
    if decoded.errors:
        notes.append(f"the file is damaged: {decoded.errors} decoding error{'s' * (decoded.errors > 1)}")
    if decoded.hdr:
        notes.append("HDR video: read without tone mapping, so colours look pale")
    return notes


def _cut_off(facts: Scan, read: int | None = None) -> list[str]:
    """What the header promises and the file lacks; `read`: frames that were decoded, when all should have been."""
    there = facts.count if read is None else read
    if facts.promised > there:
        return [f"the file is cut off: {there} of {facts.promised} frames were read"]
    if facts.missing > _CUT / facts.rate:
        return [f"the file is cut off: {facts.seconds:.2f} of {facts.seconds + facts.missing:.2f} seconds were read"]
    return []


def _clip(path: Path, stream: av.VideoStream, decoded: _Decoded, facts: Scan) -> Clip:
    notes = _damage(decoded)
    edges = _edges(path, stream, decoded, notes)
    notes += _cut_off(facts, len(decoded.starts))
    times, fps = spread(edges)
    _check_rate(path, fps)
    clip = from_frames(decoded.store.frames, fps, path.stem, times=times, notes=tuple(notes))
    return replace(clip, transparent=decoded.alpha)


def _check_rate(path: Path, fps: float) -> None:
    if not SLOWEST <= fps <= FASTEST:
        raise UserError(
            f"{shown(path)}: its timestamps say {fps:g} frames per second, which cannot be right; "
            "re-encode it with a true rate (ffmpeg -r 24 -i IN OUT.mp4)"
        )


def _edges(path: Path, stream: av.VideoStream, decoded: _Decoded, notes: list[str]) -> np.ndarray:
    """(F + 1,) seconds: when each frame appears, and when the last one ends."""
    count = len(decoded.starts)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    starts = np.array([np.nan if s is None else s for s in decoded.starts], dtype=np.float64)
    if np.isfinite(starts).all() and (np.diff(starts) > 0).all():
        step = float(np.median(np.diff(starts))) if count > 1 else 1 / rate if rate > 0 else 1.0
        return np.append(starts, starts[-1] + (decoded.last_seconds or step))
    if rate <= 0:
        raise UserError(f"{shown(path)}: has no timestamps and no frame rate; re-encode it (ffmpeg -i IN OUT.mp4)")
    notes.append(f"timestamps are missing or out of order; read at the header's {rate:g} frames per second")
    return np.arange(count + 1) / rate
