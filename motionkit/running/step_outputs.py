"""Refuses what a step of a method returned where it is not what the contract says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motionkit.errors import UserError
from motionkit.transfer import Tensors


def table(what: str, made: Any) -> Tensors:
    """The output of `what`, such as "still.prepare", if it is a table of dense tensors. Raises: TypeError."""
    if not isinstance(made, Mapping):
        raise TypeError(f"{what} returned {type(made).__name__}, not a table of tensors by name")
    for name, value in made.items():
        if not isinstance(name, str):
            raise TypeError(f"{what} returned a table with the name {name!r}, which is no text")
        if kind := _unfit(value):
            raise TypeError(f"{what} returned {kind} as {name!r}, not a dense tensor")
    return dict(made)


def check_video(method: str, video: Any, shape: tuple[int, int, int, int]) -> None:
    """Refuse the output of `generate` where it is no video of that shape (F, 3, H, W).

    Raises:
        TypeError: another kind of value, shape or type.
        UserError: values that are no numbers, or infinite.
    """
    got = _unfit(video) or f"{video.dtype} {tuple(video.shape)}"
    if _unfit(video) or tuple(video.shape) != shape or not video.is_floating_point():
        raise TypeError(f"{method}.generate returned {got}, not a dense float tensor {shape}")
    refuse_nan(method, "generate", {"video": video})
    if video.isinf().any():
        raise _refused(method, "generate", "infinite values", "video")


def refuse_nan(method: str, step: str, tensors: Tensors) -> None:
    """Raises: UserError for the first tensor that holds NaN."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.isnan().any():
            raise _refused(method, step, "NaN", name)


def _refused(method: str, step: str, what: str, name: str) -> UserError:
    return UserError(
        f"{method}: the step {step!r} produced {what} (in {name!r}); "
        "nothing was written: try another seed, or gpu.dtype=float32"
    )


def _unfit(value: Any) -> str:
    """What a value is that holds no dense numbers, in words; "" for a dense tensor."""
    import torch

    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.is_meta:
        return "a tensor without values (meta)"
    return "" if value.layout == torch.strided else f"a tensor of layout {value.layout}"
