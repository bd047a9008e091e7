"""Writing results: H.264 mp4 that browsers play, gif, png; each appears under its name complete or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from motionkit.errors import UserError
from motionkit.media.limits import shown

PathLike = str | os.PathLike[str]
_BT709 = 1  # ITU-T H.273 code for primaries, transfer and matrix
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG
_GIF_FASTEST = 50.0  # players slow a gif frame below 20 ms down to 100 ms
_GIF_LONGEST = 655_350  # milliseconds that a frame can stand


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


def write_video(path: PathLike, frames: np.ndarray, fps: float, comment: str = "", crf: int = 16) -> None:
    """Write an H.264 mp4 (yuv420p, BT.709, index first); odd sizes are padded to even by repeating the edge.

    Args:
        path: where; overwritten when it exists.
        frames: (F, H, W, 3) uint8.
        fps: frames per second, in (0, 240].
        comment: text for the file's `comment` tag.
        crf: x264's quality, lower is better.

    Raises:
        UserError: the place cannot be written.
        ValueError: frames or fps of the wrong kind.
    """
    frames, fps = _checked(frames, fps)
    frames = _padded_to_even(frames)
    rate = max(Fraction(fps).limit_denominator(10000), Fraction(1, 10000))
    with replacing(path) as temporary:
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            if comment:
                container.metadata["comment"] = comment
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
            stream.options = {"crf": str(crf), "preset": "medium"}
            context = stream.codec_context
            context.thread_count = 1  # the same bytes on every machine
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
            for index, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
                picture.pts, picture.time_base = index, 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))


def write_gif(path: PathLike, frames: np.ndarray, fps: float) -> None:
    """Write a looping gif of one shared palette whose frame times add up exactly (hundredths of a second).

    Equal neighbouring frames are stored once with their joint time. Above 50 frames per second frames are left out,
    because players would slow them down. Arguments and errors as `write_video`.
    """
    frames, fps = _checked(frames, fps)
    if fps > _GIF_FASTEST:
        count = max(1, round(len(frames) * _GIF_FASTEST / fps))
        frames, fps = frames[np.arange(count) * len(frames) // count], _GIF_FASTEST
    edges = np.rint(np.arange(len(frames) + 1) * 100 / fps).astype(int)
    palette = Image.fromarray(_sample(frames)).quantize(256, dither=Image.Dither.NONE)
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    lengths = np.minimum(np.diff(edges) * 10, _GIF_LONGEST).tolist()
    with replacing(path) as temporary:
        pictures[0].save(temporary, "GIF", save_all=True, append_images=pictures[1:], duration=lengths, loop=0)


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
        Image.fromarray(_checked(frame[None], 1)[0][0]).save(temporary, kind)


def write_frames(folder: PathLike, frames: np.ndarray) -> None:
    """Write (F, H, W, 3) uint8 frames as 00000.png, 00001.png, ...; the folder appears when all are there.

    An existing folder is replaced when it holds nothing but such frames.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    frames, _ = _checked(frames, 1)
    final = Path(folder)
    if final.exists() and not (final.is_dir() and all(re.fullmatch(r"\d{5}\.png", f.name) for f in final.iterdir())):
        raise UserError(f"{shown(final)}: exists and holds other things than numbered frames; choose a new folder")
    temporary, old = _beside(final), _beside(final)
    with _refusal(final):
        try:
            temporary.mkdir(parents=True)
            for index, frame in enumerate(frames):
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


def _checked(frames: np.ndarray, fps: float) -> tuple[np.ndarray, float]:
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must be uint8 of shape (F, H, W, 3), got {frames.dtype} {frames.shape}")
    if not (np.isfinite(fps) and 0 < fps <= 240):
        raise ValueError(f"fps must be in (0, 240], got {fps}")
    return np.ascontiguousarray(frames), float(fps)


def _padded_to_even(frames: np.ndarray) -> np.ndarray:
    pad = ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0))
    return np.pad(frames, pad, mode="edge") if frames.shape[1] % 2 or frames.shape[2] % 2 else frames


def _sample(frames: np.ndarray) -> np.ndarray:
    """At most 16 frames of the clip stacked into one picture, to choose the palette from."""
    picked = frames[np.unique(np.linspace(0, len(frames) - 1, 16).round().astype(int))]
    return picked.reshape(-1, *frames.shape[2:])  # (n*H, W, 3)
