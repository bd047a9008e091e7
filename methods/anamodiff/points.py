"""User-given keypoints instead of the detector's: by hand, from a tracker, or from a pose estimator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionkit.errors import UserError
from motionkit.media.arrays import read_arrays

_MOST = 2**26  # bytes of points


def read_points(path: Path, source: int, driving: int) -> tuple[Tensor, Tensor]:
    """Read points of both clips.

    The file is an .npz with `reference` (S, K, 2) and `driving` (T, K, 2), x first in [-1, 1] of the letterboxed frame,
    for exactly the frames that the method sees; one row of K points may stand for all frames of a still.

    Args:
        path: the file; it is read without unpickling.
        source, driving: the numbers of frames S and T.

    Returns:
        The two arrays as float32 tensors.

    Raises:
        UserError: what is wrong with the file, in one line.
    """
    try:
        held = read_arrays(path, _MOST, lambda names: ("reference", "driving"))
        arrays = [held[name].astype(np.float32) for name in ("reference", "driving")]
    except (OSError, ValueError, KeyError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "it is damaged, or lacks one of them"
        raise UserError(f"keypoints: {path} is not an .npz with the arrays reference and driving: {reason}") from error
    for name, array, frames in zip(("reference", "driving"), arrays, (source, driving), strict=True):
        if array.ndim != 3 or array.shape[0] != frames or array.shape[2] != 2 or not np.isfinite(array).all():
            raise UserError(
                f"keypoints: {name} in {path} has shape {array.shape}: it must be ({frames}, K, 2) and finite"
            )
    if arrays[0].shape[1] != arrays[1].shape[1]:
        counts = arrays[0].shape[1], arrays[1].shape[1]
        raise UserError(
            f"keypoints: {path} has {counts[0]} points for the reference and {counts[1]} for the driving clip"
        )
    return torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1])
