"""Writing animated pictures: gif, webp and png that loop endlessly, with transparency."""

from __future__ import annotations

import numpy as np
from PIL import Image

from motionkit.media.matte import with_alpha
from motionkit.media.writing import PathLike, checked, replacing

_GIF_FASTEST = 50.0  # players slow a gif frame below 20 ms down to 100 ms
_GIF_LONGEST = 655_350  # the longest time of a frame, milliseconds
_CLEAR = 255  # place of the palette that stands for transparency


def write_gif(path: PathLike, frames: np.ndarray, fps: float, alpha: np.ndarray | None = None) -> None:
    """Write a looping gif of one shared palette whose frame times add up exactly (hundredths of a second).

    Equal neighbouring frames are stored once with their joint time. Above 50 frames per second frames are left out,
    because players would slow them down. A pixel is opaque where `alpha`, (F, H, W) uint8, is 128 or more: a gif has no
    half transparency. Other arguments and errors as `write_video`.
    """
    frames, fps = checked(frames, fps)
    if fps > _GIF_FASTEST:
        count = max(1, round(len(frames) * _GIF_FASTEST / fps))
        kept = np.arange(count) * len(frames) // count
        frames, fps, alpha = frames[kept], _GIF_FASTEST, None if alpha is None else alpha[kept]
    edges = np.rint(np.arange(len(frames) + 1) * 100 / fps).astype(int)
    palette = Image.fromarray(_sample(frames)).quantize(256 if alpha is None else _CLEAR, dither=Image.Dither.NONE)
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    lengths = np.minimum(np.diff(edges) * 10, _GIF_LONGEST).tolist()
    how: dict[str, object] = {}
    if alpha is not None:
        pictures = [_cleared(picture, seen) for picture, seen in zip(pictures, alpha >= 128, strict=True)]
        how = {"transparency": _CLEAR, "disposal": 2, "optimize": False}
    with replacing(path) as temporary:
        pictures[0].save(temporary, "GIF", save_all=True, append_images=pictures[1:], duration=lengths, loop=0, **how)


def _cleared(picture: Image.Image, seen: np.ndarray) -> Image.Image:
    """A palette picture of at most 255 colours with the last place where it is not seen."""
    places = np.where(seen, np.asarray(picture), _CLEAR).astype(np.uint8)
    cleared = Image.fromarray(places, "P")
    colours = (picture.getpalette() or [])[: 3 * _CLEAR]
    cleared.putpalette(colours + [0] * (768 - len(colours)))
    return cleared


def write_animation(
    path: PathLike, frames: np.ndarray, fps: float, alpha: np.ndarray | None = None, kind: str = "WEBP"
) -> None:
    """Write a looping animated webp or png (`kind` "PNG", without loss); arguments and errors as `write_gif`."""
    frames, fps = checked(frames, fps)
    edges = np.rint(np.arange(len(frames) + 1) * 1000 / fps).astype(int)
    pictures = [Image.fromarray(f) for f in (frames if alpha is None else with_alpha(frames, alpha))]
    options = {"quality": 90, "method": 4} if kind == "WEBP" else {"disposal": 1, "blend": 0}
    with replacing(path) as temporary:
        pictures[0].save(
            temporary,
            kind,
            save_all=True,
            append_images=pictures[1:],
            duration=np.diff(edges).tolist(),
            loop=0,
            **options,
        )


def _sample(frames: np.ndarray) -> np.ndarray:
    """At most 16 frames of the clip stacked into one picture, to choose the palette from."""
    picked = frames[np.unique(np.linspace(0, len(frames) - 1, 16).round().astype(int))]
    return picked.reshape(-1, *frames.shape[2:])  # (n*H, W, 3)
