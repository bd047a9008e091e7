"""Which point of frame 0 each subject pixel shows, by an estimator or a file. Imports no torch by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit.errors import UserError
from motionkit.perception import files
from motionkit.perception.estimators import Asked, View, Words
from motionkit.perception.files import Correspondence as Correspondence
from motionkit.settings.setting import check, setting

if TYPE_CHECKING:
    import torch

    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.spec import BackboneSpec

BACKENDS = Words(
    "correspondence",
    {
        "auto": "files where path is given, pocket on a pocket backbone, sd_dino on a UNet of SD 1.x, else dino",
        "files": "a ready-made correspondence",
    },
)
Step = Callable[[int, int], None]  # done, total


@dataclass
class CorrespondenceSettings:
    """How correspondence is found."""

    backend: str = setting("Estimator of the correspondence.", "auto", choices=BACKENDS)
    path: str | None = setting(
        "A ready-made correspondence: a file or folder of `files.read_correspondence`; null for none.",
        None,
        file="read",
    )
    weights: str | None = setting(
        "Weights of DINOv2: a folder or hub id; null is the authors' hub id.", None, file="folder"
    )
    sd_side: int = setting("Longer side at which the UNet sees the frames.", 960, low=64, high=2048, unit="px")
    dino_side: int = setting("Longer side at which DINOv2 sees the frames.", 840, low=56, high=2048, unit="px")
    grid: int = setting("Longer side of the grid on which pixels are matched.", 96, low=8, high=256)
    components: int = setting(
        "Number of PCA components kept of each layer's features, over the subject in all frames.", 256, low=1, high=4096
    )
    timestep: int = setting("Timestep of the noise that is added to the latents for the UNet.", 100, low=0, high=999)
    seed: int = setting("Seed of that noise; all frames get the same.", 42)
    smooth: int = setting("Rounds of median smoothing of the matches; 0 for none, as in the paper.", 0, low=0, high=16)
    mutual: bool = setting(
        "Whether matches that fail the forward-backward check are replaced by the nearest one that passes.", False
    )

    def on(self, pocket: bool = False, backbone: BackboneSpec | None = None) -> str:
        """The back end that `backend` means on that backbone. Raises: UserError for an unknown one."""
        BACKENDS.check(self.backend)
        if self.backend != "auto":
            return self.backend
        if self.path:
            return "files"
        return "pocket" if pocket else "sd_dino" if backbone is not None and backbone.sd1_unet else "dino"

    def check(self, pocket: bool = False, backbone: BackboneSpec | None = None) -> None:
        """Refuse impossible settings. Raises: UserError, one line that names the setting."""
        backend = self.on(pocket, backbone)
        if backend == "files" and not self.path:
            raise UserError("correspondence: backend=files needs the maps: give correspondence=FILE or FOLDER")
        if backend == "sd_dino" and backbone is not None and not backbone.sd1_unet:
            raise UserError(
                f"correspondence: sd_dino reads a UNet of SD 1.x, not that of {backbone.name}: use backend=dino"
            )
        check(self, "correspondence: ")

    def files(self, pocket: bool = False, backbone: BackboneSpec | None = None) -> dict[str, Path]:
        """The weight files of the back end by name (not the backbone's), for `Transfer.weights`; loads nothing.

        Raises: MissingWeights, UserError: what would also stop `correspond`.
        """
        backend = self.on(pocket, backbone)
        return {} if backend == "files" else Asked("correspondence", backend).weights(self)

    def facts(self, pocket: bool = False, backbone: BackboneSpec | None = None) -> dict[str, Any]:
        """Back end, and id and hash of its weights, as JSON for manifests. Raises: as `files`."""
        backend = self.on(pocket, backbone)
        return {"backend": backend} if backend == "files" else Asked("correspondence", backend).facts(self)


def correspond(
    frames: np.ndarray,
    masks: np.ndarray,
    settings: CorrespondenceSettings | None = None,
    *,
    subject: str = "",
    backbone: VideoBackbone | None = None,
    pocket: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Step | None = None,
) -> Correspondence:
    """The correspondence of all frames with frame 0, on the subject.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        masks: (F, H, W) bool, the subject; frame 0 has to show it, others need not.
        subject: a few words; sd_dino's UNet is told "a photo of a ...".
        backbone: for sd_dino, the loaded model with SD 1.x's UNet, before a method changes anything in it.
        pocket: the backbone is of the sprite world; decides what `auto` means.
        dtype: of DINOv2's weights; None is float32.

    Raises:
        UserError: no subject in frame 0, impossible settings or unusable files, a backbone that is not SD 1.x's.
        MissingWeights: weights are not there; the line says how to get or replace them.
    """
    from motionkit.perception.pixels import check_frames

    settings, spec = settings or CorrespondenceSettings(), backbone.spec if backbone is not None else None
    settings.check(pocket, spec)
    check_frames(frames)
    if masks.shape != frames.shape[:3] or masks.dtype != bool:
        raise ValueError(f"masks must be bool {frames.shape[:3]}, got {masks.dtype} {masks.shape}")
    if not masks[0].any():
        raise UserError("the first frame shows no subject to compare with: start the clip where the subject is seen")
    backend = settings.on(pocket, spec)
    if backend == "files":
        assert settings.path is not None
        return _from_file(settings.path, masks)
    view = View(frames, None, masks, subject, backbone, device=device, dtype=dtype, progress=progress)
    return Asked("correspondence", backend).read(view, settings)


def _from_file(path: str, masks: np.ndarray) -> Correspondence:
    """A ready-made correspondence on exactly the subject: gaps in it take the nearest pixel's value."""
    from motionkit.perception.matching import fill

    given = files.read_correspondence(path, *masks.shape)
    if given.points is not None:
        known = np.isfinite(given.points).all(-1)
        return Correspondence(points=fill(given.points, known, masks, f"correspondence: {path}"))
    assert given.colours is not None
    known = (given.colours.max(-1) > 0) & (given.colours.min(-1) < 1)  # neither black nor white
    return Correspondence(colours=np.nan_to_num(fill(given.colours, known, masks, f"correspondence: {path}")))
