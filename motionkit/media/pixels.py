"""From a decoded video frame to upright RGB as a viewer shows it: colours, transparency, turned pictures."""

from __future__ import annotations

from typing import Any

import av
import numpy as np

from motionkit.media.colour import over_white

_UNSAID, _BT709 = 2, 1  # of matrix coefficients, the same standard's table 4
_HD = 720  # lines from which a video that does not say is BT.709, as players take it


def to_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """(H, W, 3) uint8 over white at `size` (width, height), and whether any of it was transparent."""
    alpha = frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)
    hd = frame.height >= _HD and frame.colorspace == _UNSAID and not frame.format.is_rgb
    pixels = frame.to_ndarray(
        format="rgba" if alpha else "rgb24",
        width=size[0],
        height=size[1],
        interpolation="AREA",
        src_colorspace=_BT709 if hd else None,
        threads=1,  # starting more takes longer than the pixels of most clips
    )
    return (over_white(pixels), bool(pixels[..., 3].min() < 255)) if alpha else (pixels, False)


def upright(image: np.ndarray, frame: av.VideoFrame, turned: bool | None = None) -> tuple[np.ndarray, bool]:
    """Apply the frame's display matrix (phones store pictures turned): quarter turns and mirrors.

    Args:
        turned: whether the file's first frame has such a matrix; None: this is the first.

    Returns:
        (H, W, 3) uint8, and whether there is one.

    PyAV's side data and its frame refer to each other, which keeps the pixels in memory until the garbage collector
    runs: they are not read for a video whose first frame has no matrix.
    """
    if turned is False and not frame.rotation:
        return image, False
    sides: list[Any] = list(frame.side_data)
    matrix = next((bytes(side) for side in sides if side.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return image, False
    a, b, _, c, d = np.frombuffer(matrix, "=i4")[:5]  # x' = a x + c y, y' = b x + d y, with y down
    if abs(int(a)) + abs(int(d)) < abs(int(b)) + abs(int(c)):
        image, a, d = image.transpose(1, 0, 2), c, b  # (W, H, 3)
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]), True
