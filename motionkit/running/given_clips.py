"""Clips as people have them in Python: pictures of Pillow, arrays, tensors, and lists of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError
from motionkit.running.clips import CLIPS
from motionkit.running.request import TEXTS
from motionkit.transfer import MAPS, Inputs

if TYPE_CHECKING:
    import numpy as np

    from motionkit.media import Clip

INPUTS = (*CLIPS, *TEXTS, *MAPS)
FPS = 8.0  # frames per second of frames that come without a rate
_SLACK = 1e-3  # by which rounding may leave [0, 1]
_FORMS = "a path, a clip of motionkit.media, a Pillow picture, an array or a tensor, or a list of pictures"


def inputs_of(words: dict[str, Any]) -> Inputs:
    """The inputs among keywords, which are taken out of them. Raises: UserError for anything that is not a clip."""
    given = {name: words.pop(name, None) for name in INPUTS}
    given |= {name: clip_of(given[name], name, words.get("fps")) for name in CLIPS}
    return Inputs(**{name: value for name, value in given.items() if value is not None})


def clip_of(value: Any, name: str, fps: float | None = None) -> Clip | str | Path | None:
    """Convert what was given as a clip into one that a request takes; paths and clips stay as they are.

    Args:
        value: besides those, a `Result`; a Pillow picture; an array or tensor (H, W, C), (F, H, W, C), (C, H, W) or
            (F, C, H, W), C 1, 3 or 4, or (H, W), of uint8 or of floats in [0, 1]; or a list of single pictures, or
            paths of them, of one size. A tensor that could be read both ways has its channels first, an array last.
            Alpha is laid over white.
        name: the input's, for messages and reports.
        fps: of frames that come without a rate; None is 8.

    Raises:
        UserError: anything else, with what may be given.
    """
    from motionkit import media

    if value is None or isinstance(value, str | Path | media.Clip):
        return value
    if isinstance(value, os.PathLike):
        return Path(value)
    if isinstance(getattr(value, "frames", None), _array_type()) and hasattr(value, "fps"):  # a Result
        return media.from_frames(value.frames, value.fps, name)
    rate = FPS if not isinstance(fps, Real) or isinstance(fps, bool) or not 0 < fps < float("inf") else float(fps)
    if isinstance(value, list | tuple):
        return media.from_frames(_stacked(value, name), rate, name)
    if _is_picture(value):
        return _picture(value, name)
    frames = _frames(value, name)
    return media.from_frames(frames, rate, name, is_image=len(frames) == 1)


def _array_type() -> type:
    import numpy as np

    return np.ndarray


def _is_picture(value: Any) -> bool:
    from PIL import Image

    return isinstance(value, Image.Image)


def _picture(image: Any, name: str) -> Clip:
    """A Pillow picture as one that is read from a file: upright, in sRGB, transparency over white."""
    from PIL import ImageOps

    from motionkit import media
    from motionkit.media.images import read_still
    from motionkit.media.limits import Limits

    if image.mode == "F":  # Pillow would take them as whole numbers, and 0 to 1 as black
        import numpy as np

        return media.from_frames(_frames(np.asarray(image), name), name=name, is_image=True)
    limits = Limits()
    limits.check_picture(Path(name), *image.size)
    return read_still(Path(name), ImageOps.exif_transpose(image), limits)  # a copy: the caller's stays as it is


def _stacked(values: Sequence[Any], name: str) -> np.ndarray:
    """Single pictures as (F, H, W, 3) uint8."""
    import numpy as np

    if not values:
        raise UserError(f"{name} is an empty list: give at least one picture")
    if len(values) == 1 and isinstance(values[0], list | tuple):  # a batch of one, as diffusers returns it
        return _stacked(values[0], name)
    frames = [_one(value, f"{name}[{i}]") for i, value in enumerate(values)]
    if len(frames) > 1 and any(len(frame) > 1 for frame in frames):
        raise UserError(f"{name} is a list of several clips: give one clip, or a list of single pictures")
    if sizes := {
        f"{frame.shape[2]}x{frame.shape[1]}" for frame in frames[1:] if frame.shape[1:] != frames[0].shape[1:]
    }:
        raise UserError(
            f"{name} has pictures of several sizes ({frames[0].shape[2]}x{frames[0].shape[1]}, "
            f"{', '.join(sorted(sizes))}): bring them to one size first"
        )
    return np.concatenate(frames)  # (F, H, W, 3)


def _one(value: Any, name: str) -> np.ndarray:
    """A picture, an array, or the file of one, as (F, H, W, 3) uint8."""
    if isinstance(value, str | os.PathLike):
        from motionkit.media import read_clip

        return read_clip(os.fspath(value)).frames
    return _picture(value, name).frames if _is_picture(value) else _frames(value, name)


def _frames(value: Any, name: str) -> np.ndarray:
    """An array or tensor as (F, H, W, 3) uint8."""
    import numpy as np

    torch = sys.modules.get("torch")
    tensor = torch is not None and isinstance(value, torch.Tensor)
    if tensor:
        try:
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()
        except (TypeError, NotImplementedError, RuntimeError) as error:
            raise UserError(f"{name} is a tensor whose numbers cannot be read ({error}): give a dense one") from error
    if not isinstance(value, np.ndarray):
        raise UserError(f"{name} is a {type(value).__name__}: give {_FORMS}")
    frames = _bytes(_channels_last(value, name, tensor), name)
    if frames.shape[-1] == 4:
        from motionkit.media.colour import over_white

        return over_white(frames)
    return np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames


def _channels_last(value: np.ndarray, name: str, first: bool) -> np.ndarray:
    """(F, H, W, C); `first`: where both readings are possible, channels come first."""
    shape = value.shape
    if value.ndim == 5 and shape[0] == 1:  # a batch of one
        value = value[0]
    if value.ndim == 2:
        value = value[..., None]  # (H, W, 1)
    if value.ndim == 3:
        value = value[None]  # (1, H, W, C) or (1, C, H, W)
    if value.ndim != 4 or 0 in value.shape:
        raise UserError(f"{name} has the shape {shape}: give (F, H, W, 3), (F, 3, H, W), or one picture of them")
    known = (1, 3, 4)
    last, front = value.shape[-1] in known, value.shape[1] in known
    if front and (first or not last):
        return value.transpose(0, 2, 3, 1)  # (F, H, W, C)
    if last:
        return value
    raise UserError(f"{name} has the shape {shape}, without an axis of 3 colours: give (F, H, W, 3) or (F, 3, H, W)")


def _bytes(value: np.ndarray, name: str) -> np.ndarray:
    import numpy as np

    if value.dtype == np.uint8:
        return value
    if not np.issubdtype(value.dtype, np.floating):
        raise UserError(f"{name} holds {value.dtype}: give uint8 from 0 to 255, or floats from 0 to 1")
    low, high = float(value.min()), float(value.max())
    if not (-_SLACK <= low and high <= 1 + _SLACK):
        raise UserError(f"{name} holds floats from {low:g} to {high:g}: give floats from 0 to 1, or uint8")
    return np.rint(value.clip(0, 1).astype(np.float32) * 255).astype(np.uint8)
