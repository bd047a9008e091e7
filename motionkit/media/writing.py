"""Writing results: mp4 that browsers play, webm, mov, png; each file gets its name when it is complete."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from motionkit.errors import UserError
from motionkit.media.clip import Sound
from motionkit.media.limits import shown
from motionkit.media.matte import with_alpha

PathLike = str | os.PathLike[str]
_BT709 = 1  # ITU-T H.273 code for primaries, transfer and matrix
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well and vanishes when it does not.

    The temporary name keeps the suffix. A file there is overwritten; folders of the path are made.

    Raises:
        UserError: the place cannot be written (read-only, disk full, a folder of that name).
    """
    final = Path(path)
    temporary = _beside(final)
    with _refusal(final):
        if final.is_dir():
            raise UserError(f"{shown(final)}: is a folder; give a file name")
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, final)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class _Kind:
    """A container with its streams."""

    container: str
    codec: str
    opaque: str
    clear: str | None
    sound: str
    rate: int | None = None  # samples per second that the sound's codec takes
    options: Mapping[str, str] = field(default_factory=dict)
    open_options: Mapping[str, str] = field(default_factory=dict)


_KINDS = {
    ".webm": _Kind(
        "webm", "libvpx-vp9", "yuv420p", "yuva420p", "libopus", 48_000, {"crf": "18", "b": "0", "cpu-used": "2"}
    ),
    ".mov": _Kind(
        "mov", "prores_ks", "yuv444p10le", "yuva444p10le", "pcm_s16le", None, {"profile": "4", "vendor": "apl0"}
    ),
}
_MP4 = _Kind("mp4", "libx264", "yuv420p", None, "aac", open_options={"movflags": "+faststart"})


def write_video(
    path: PathLike,
    frames: np.ndarray,
    fps: float,
    comment: str = "",
    crf: int = 16,
    *,
    alpha: np.ndarray | None = None,
    sound: Sound | None = None,
) -> None:
    """Write a video by suffix: VP9 webm, ProRes 4444 mov, else H.264 mp4 (yuv420p, index first); all BT.709.

    Odd sizes are padded to even by repeating the edge.

    Args:
        path: where; overwritten when it exists.
        frames: (F, H, W, 3) uint8.
        fps: frames per second, in (0, 240].
        comment: text for the file's `comment` tag.
        crf: x264's quality, lower is better.
        alpha: (F, H, W) uint8, for webm and mov; an mp4 has no transparency.
        sound: goes into the file as it is, from the first frame on.

    Raises:
        UserError: the place cannot be written.
        ValueError: frames or fps of the wrong kind.
    """
    kind = _KINDS.get(Path(path).suffix.lower(), _MP4)
    frames, fps = checked(frames, fps)
    clear = kind.clear if alpha is not None else None
    pictures = with_alpha(frames, alpha) if clear and alpha is not None else frames
    pictures = _padded_to_even(pictures)
    rate = max(Fraction(fps).limit_denominator(10000), Fraction(1, 10000))
    with replacing(path) as temporary:
        with av.open(str(temporary), "w", format=kind.container, options=dict(kind.open_options)) as container:
            if comment:
                container.metadata["comment"] = comment
            stream = _add_pictures(container, kind, pictures, rate, crf)
            heard = _add_sound(container, sound, kind) if sound is not None else None
            packets = _sound_packets(heard, sound) if heard is not None and sound is not None else iter(())
            for index, pixels in enumerate(pictures):
                picture = av.VideoFrame.from_ndarray(pixels, format="rgba" if clear else "rgb24")
                picture = picture.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", threads=1)
                picture.pts, picture.time_base = index, 1 / rate
                container.mux(stream.encode(picture))
                _mux_until(container, packets, (index + 1) / float(rate))
            container.mux(stream.encode(None))
            _mux_until(container, packets, float("inf"))


def _add_pictures(
    container: av.container.OutputContainer, kind: _Kind, pictures: np.ndarray, rate: Fraction, crf: int
) -> av.VideoStream:
    """The stream for pictures (F, H, W, 3 or 4): tagged as BT.709, and the same bytes on every machine."""
    clear = kind.clear if pictures.shape[-1] == 4 else None
    stream = container.add_stream(kind.codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], clear or kind.opaque
    own = {"crf": str(crf), "preset": "medium", **_repeatable()} if kind is _MP4 else dict(kind.options)
    stream.options = own | ({"auto-alt-ref": "0"} if clear and kind.container == "webm" else {})
    context = stream.codec_context
    context.thread_count = 1
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


@functools.cache
def _repeatable() -> dict[str, str]:
    """Options with which x264 gives equal bytes for equal frames.

    With its code for AVX-512 (x264 in PyAV 18.1, one thread) up to a third of the encodings of one clip differed in
    some frames by a few levels; with its code for AVX2 none of 1,463 did, and most of the others were like them.
    """
    import torch  # knows the processor on every system

    return {"x264-params": "asm=avx2"} if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") else {}


def _add_sound(container: av.container.OutputContainer, sound: Sound, kind: _Kind) -> av.AudioStream:
    layout = "mono" if sound.samples.shape[1] == 1 else "stereo"
    return container.add_stream(kind.sound, rate=kind.rate or sound.rate, layout=layout)


def _sound_packets(stream: av.AudioStream, sound: Sound) -> Iterator[tuple[float, list[av.Packet]]]:
    """The encoded sound bit by bit, each with the second at which it begins."""
    step = 1024
    for at in range(0, len(sound.samples), step):
        piece = np.ascontiguousarray(sound.samples[at : at + step]).reshape(1, -1)  # (1, n * channels)
        frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, at, Fraction(1, sound.rate)
        yield at / sound.rate, stream.encode(frame)
    yield sound.duration, stream.encode(None)


def _mux_until(
    container: av.container.OutputContainer, packets: Iterator[tuple[float, list[av.Packet]]], second: float
) -> None:
    """Put the sound between the pictures that it belongs to, so that a long file plays as it is read."""
    for begins, encoded in packets:
        container.mux(encoded)
        if begins >= second:
            return


def write_image(path: PathLike, frame: np.ndarray) -> None:
    """Write one (H, W, 3) uint8 frame as png, jpg or webp, by the suffix.

    Raises:
        UserError: unknown suffix, or the place cannot be written.
    """
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = kinds.get(Path(path).suffix.lower())
    if kind is None:
        raise UserError(f"{shown(path)}: a picture's name must end in {', '.join(kinds)}")
    with replacing(path) as temporary:
        Image.fromarray(checked(frame[None], 1)[0][0]).save(temporary, kind)


def write_frames(folder: PathLike, frames: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Write (F, H, W, 3) uint8 frames as 00000.png, 00001.png, ...; the folder appears when all are there.

    With `alpha`, (F, H, W) uint8, they are transparent where it is below 255.

    An existing folder is replaced when it holds nothing but such frames.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    frames, _ = checked(frames, 1)
    final = Path(folder)
    if final.exists() and not (final.is_dir() and all(re.fullmatch(r"\d{5}\.png", f.name) for f in final.iterdir())):
        raise UserError(f"{shown(final)}: exists and holds other files than numbered frames; choose a new folder")
    temporary, old = _beside(final), _beside(final)
    with _refusal(final):
        try:
            temporary.mkdir(parents=True)
            for index, frame in enumerate(frames if alpha is None else with_alpha(frames, alpha)):
                Image.fromarray(frame).save(temporary / f"{index:05d}.png")
            if final.exists():
                os.replace(final, old)
            os.replace(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _refusal(final: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{shown(final)}: cannot be written ({reason}); choose another place") from error


def _beside(final: Path) -> Path:
    return final.with_name(f".{uuid.uuid4().hex}{final.suffix}")


def checked(frames: np.ndarray, fps: float) -> tuple[np.ndarray, float]:
    """Frames in one block, and their rate. Raises: ValueError when either is of the wrong kind."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")
    if not (np.isfinite(fps) and 0 < fps <= 240):
        raise ValueError(f"fps must be in (0, 240], got {fps}")
    return np.ascontiguousarray(frames), float(fps)


def _padded_to_even(frames: np.ndarray) -> np.ndarray:
    pad = ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0))
    return np.pad(frames, pad, mode="edge") if frames.shape[1] % 2 or frames.shape[2] % 2 else frames
