"""How near each pixel is: Depth Anything, ready-made depth or the sprite network; larger is nearer.

Depth Anything V2: Yang et al. 2024, arXiv 2406.09414 (Small: Apache-2.0; Base and Large: CC BY-NC 4.0). Imports no
torch by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit.errors import UserError, unknown
from motionkit.perception import files, networks
from motionkit.settings.setting import check, setting

if TYPE_CHECKING:
    import torch

BACKENDS = {
    "auto": "files where path is given, else the sprite network on a pocket backbone, else depth_anything",
    "depth_anything": "Depth Anything V2",
    "files": "ready-made depth",
    "pocket": "the sprite network",
}
Step = Callable[[int, int], None]  # done, total
_PATCH = 14


@dataclass
class DepthSettings:
    """How depth is estimated."""

    backend: str = setting("Who estimates depth.", "auto", choices=BACKENDS)
    path: str | None = setting(
        "Ready-made depth, whiter is nearer: one picture per frame in a folder, a video, npy or npz; null for none.",
        None,
    )
    weights: str | None = setting("Depth Anything: a folder or hub id; null is the authors' hub id.", None)
    size: int = setting(
        "Side that the network sees, the other as the aspect has it.", 518, low=4 * _PATCH, high=2048, unit="px"
    )
    batch: int = setting("Frames that pass the network at once.", 4, low=1, high=float("inf"), unit="frames")

    def on(self, pocket: bool = False) -> str:
        """The back end that `backend` means. Raises: UserError for an unknown one."""
        if self.backend not in BACKENDS:
            raise unknown("depth backend", str(self.backend), BACKENDS)
        if self.backend != "auto":
            return self.backend
        return "files" if self.path else "pocket" if pocket else "depth_anything"

    def check(self, pocket: bool = False) -> None:
        """Refuse settings that cannot be. Raises: UserError, one line that names the setting."""
        if self.on(pocket) == "files" and not self.path:
            raise UserError("depth: backend=files needs the depth itself: give depth=FOLDER (or a video, npy, npz)")
        check(self, "depth: ")

    def files(self, pocket: bool = False) -> dict[str, Path]:
        """The weight files of the back end by name, for `Transfer.weights`; loads nothing.

        Raises: MissingWeights, UserError: what would also stop `estimate_depth`.
        """
        if self.on(pocket) == "depth_anything":
            return networks.files(networks.NETWORKS["depth_anything"], self.weights)
        return files.pocket_file(self.on(pocket))

    def facts(self, pocket: bool = False) -> dict[str, Any]:
        """Back end, and id and hash of its weights, as JSON for manifests. Raises: as `files`."""
        backend = self.on(pocket)
        if backend != "depth_anything":
            return {"backend": backend, **files.pocket_facts(backend)}
        network = networks.NETWORKS["depth_anything"]
        return {"backend": backend, network.model_type: networks.facts(network, self.weights)}


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
        UserError: settings or files that cannot be.
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
    if backend == "pocket":
        from motionkit.perception.pocket_maps import PocketMaps

        return PocketMaps.load().maps(frames, device).depth.astype(np.float32)
    return _depth_anything(frames, settings, device, dtype, progress)


def _depth_anything(
    frames: np.ndarray,
    settings: DepthSettings,
    device: torch.device | str,
    dtype: torch.dtype | None,
    progress: Step | None,
) -> np.ndarray:
    import torch
    from torch.nn import functional

    from motionkit.perception.pixels import nearest_scale, to_pixels

    model, folder = networks.load(networks.NETWORKS["depth_anything"], settings.weights, device, dtype)
    metric = getattr(model.config, "depth_estimation_type", "relative") == "metric"
    count, height, width = frames.shape[:3]
    inner = nearest_scale(height, width, settings.size, model.config.patch_size)
    mean_std, parts = networks.normalisation(folder), []
    with torch.inference_mode():
        for start in range(0, count, settings.batch):
            x = to_pixels(frames[start : start + settings.batch], *inner, *mean_std)
            seen = model(x.to(device, model.dtype)).predicted_depth[:, None].float()  # (f, 1, h, w)
            if metric:  # metres: nearer is smaller
                seen = 1 / seen.clamp_min(1e-3)
            whole = functional.interpolate(seen, (height, width), mode="bicubic", align_corners=False)
            parts.append(whole[:, 0].clamp_min(0).cpu())
            if progress:
                progress(min(start + settings.batch, count), count)
    depth = torch.cat(parts).numpy()
    if not np.isfinite(depth).all():
        raise UserError("depth: Depth Anything gave values that are not numbers; try gpu.dtype=float32")
    return depth
