"""How near each pixel is, by an estimator or ready-made depth; larger is nearer. Imports no torch by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit.errors import UserError
from motionkit.perception import files
from motionkit.perception.estimators import Asked, View, Words
from motionkit.settings.setting import check, setting

if TYPE_CHECKING:
    import torch

BACKENDS = Words(
    "depth",
    {
        "auto": "files where path is given, else the sprite network on a pocket backbone, else depth_anything",
        "files": "ready-made depth",
    },
)
Step = Callable[[int, int], None]  # done, total
_PATCH = 14


@dataclass
class DepthSettings:
    """How depth is estimated."""

    backend: str = setting("Estimator of depth.", "auto", choices=BACKENDS)
    path: str | None = setting(
        "Ready-made depth, brighter is nearer: one picture per frame in a folder, a video, npy or npz; null for none.",
        None,
        file="read",
    )
    weights: str | None = setting(
        "Weights of Depth Anything: a folder or hub id; null is the authors' hub id.", None, file="folder"
    )
    size: int = setting(
        "Side of the frames as the network sees them; the other side keeps the aspect.",
        518,
        low=4 * _PATCH,
        high=2048,
        unit="px",
    )
    batch: int = setting("Frames per batch of the network.", 4, low=1, high=float("inf"), unit="frames")

    def on(self, pocket: bool = False) -> str:
        """The back end that `backend` means. Raises: UserError for an unknown one."""
        BACKENDS.check(self.backend)
        if self.backend != "auto":
            return self.backend
        return "files" if self.path else "pocket" if pocket else "depth_anything"

    def check(self, pocket: bool = False) -> None:
        """Refuse impossible settings. Raises: UserError, one line that names the setting."""
        if self.on(pocket) == "files" and not self.path:
            raise UserError("depth: backend=files needs the depth itself: give depth=FOLDER (or a video, npy, npz)")
        check(self, "depth: ")

    def files(self, pocket: bool = False) -> dict[str, Path]:
        """The weight files of the back end by name, for `Transfer.weights`; loads nothing.

        Raises: MissingWeights, UserError: what would also stop `estimate_depth`.
        """
        backend = self.on(pocket)
        return {} if backend == "files" else Asked("depth", backend).weights(self)

    def facts(self, pocket: bool = False) -> dict[str, Any]:
        """Back end, and id and hash of its weights, as JSON for manifests. Raises: as `files`."""
        backend = self.on(pocket)
        return {"backend": backend} if backend == "files" else Asked("depth", backend).facts(self)


def estimate_depth(
    frames: np.ndarray,
    settings: DepthSettings | None = None,
    *,
    pocket: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Step | None = None,
) -> np.ndarray:
    """Relative inverse depth of each frame as the network gives it; scale and offset mean nothing.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        pocket: the backbone is of the sprite world; decides what `auto` means.
        dtype: of the network's weights; None is float32.

    Returns:
        (F, H, W) float32, at least 0, larger = nearer.

    Raises:
        UserError: impossible settings or unusable files.
        MissingWeights: weights are not there; the line says how to get or replace them.
    """
    from motionkit.perception.pixels import check_frames

    settings = settings or DepthSettings()
    settings.check(pocket)
    check_frames(frames)
    backend = settings.on(pocket)
    if backend == "files":
        assert settings.path is not None
        return files.read_depth(settings.path, *frames.shape[:3])
    view = View(frames, device=device, dtype=dtype, progress=progress)
    return Asked("depth", backend).array(view, settings, "float32")
