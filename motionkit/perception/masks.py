"""Where the subject is in each frame of a clip: by an estimator (SAM 2, Mask2Former, ...) or ready-made masks.

SAM 2: Ravi et al. 2024, arXiv 2408.00714 (code and weights Apache-2.0). Mask2Former: Cheng et al. 2022, arXiv
2112.01527 (code MIT; COCO's classes). Imports no torch by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit.errors import UserError
from motionkit.perception import coco, files
from motionkit.perception.estimators import Asked, View, Words
from motionkit.settings.setting import setting

if TYPE_CHECKING:
    import torch

BACKENDS = Words(
    "masks",
    {
        "auto": "files where path is given, else the sprite network on a pocket backbone, else sam2, or birefnet where "
        "the subject is no class of COCO's",
        "files": "ready-made masks",
    },
)
FRONT = "birefnet"  # for what has no name that a segmenter knows
Step = Callable[[int, int], None]  # done, total


@dataclass
class MaskSettings:
    """How the subject is found."""

    backend: str = setting("Estimator of the subject's masks.", "auto", choices=BACKENDS)
    path: str | None = setting(
        "Ready-made masks: one white-on-black picture per frame in a folder, a video, npy or npz; null for none.",
        None,
        file="read",
    )
    weights: str | None = setting(
        "SAM 2, BiRefNet or RMBG: a folder or hub id; null is the authors' hub id.", None, file="folder"
    )
    seen_as: str = setting(
        "What Mask2Former looks for in the subject's place, one of COCO's classes such as dog for a fox; empty is the "
        "subject's own words.",
        "",
    )
    classes: str | None = setting(
        "Weights of Mask2Former (used by sam2 in frame 0 unless box, point or start is given): a folder or hub id; "
        "null is the authors' hub id.",
        None,
        file="folder",
    )
    box: tuple[float, ...] | None = setting(
        "The subject in frame 0 as [left, top, right, bottom], each from 0 to 1 of the frame, for sam2 and pocket; "
        "null finds it automatically.",
        None,
        drawn="box",
    )
    point: tuple[float, ...] | None = setting(
        "A place on the subject in frame 0 as [x, y], from 0 to 1 of the frame, for sam2 and pocket; null finds it "
        "automatically.",
        None,
        drawn="point",
    )
    start: str | None = setting(
        "The subject's mask in frame 0 as a picture, for sam2 and pocket; null finds it automatically.",
        None,
        drawn="mask",
        file="read",
    )
    smallest: float = setting("Smallest share of the frame that counts as a subject.", 0.001, low=0, high=1)

    def on(self, pocket: bool = False, subject: str | None = None) -> str:
        """The back end that `backend` means, for a subject where one is named ("" is any).

        Raises: UserError for an unknown one.
        """
        BACKENDS.check(self.backend)
        if self.backend != "auto":
            return self.backend
        if self.path or pocket:
            return "files" if self.path else "pocket"
        by_name = self.started or self.weights or self.classes or subject is None
        return "sam2" if by_name or coco.known(self.seen_as or str(subject)) else FRONT

    def check(self, pocket: bool = False, subject: str | None = None) -> None:
        """Refuse impossible settings. Raises: UserError, one line that names the setting."""
        backend = self.on(pocket, subject)
        if backend == "files" and not self.path:
            raise UserError("masks: backend=files needs the masks themselves: give masks=FOLDER (or a video, npy, npz)")
        if self.seen_as and not self.classes:
            coco.classes_of(self.seen_as)
        elif subject is not None and not self.classes and not self.started and backend in ("sam2", "mask2former"):
            coco.classes_of(subject, elsewhere=f", {coco.ELSEWHERE}")
        for name, values, size in (("box", self.box, 4), ("point", self.point, 2)):
            if values is not None and (len(values) != size or not all(0 <= v <= 1 for v in values)):
                raise UserError(f"masks: {name}={list(values)} must be {size} numbers from 0 to 1 (shares of frame 0)")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise UserError(f"masks: box={list(self.box)} is left, top, right, bottom: left < right and top < bottom")
        if not 0 <= self.smallest < 1:
            raise UserError(f"masks: smallest={self.smallest:g} is a share of the frame: 0 to below 1")

    @property
    def started(self) -> bool:
        """Whether the user says where the subject is in frame 0."""
        return not (self.box is None and self.point is None and self.start is None)

    def files(self, pocket: bool = False, subject: str | None = None) -> dict[str, Path]:
        """The weight files of the back end by name, for `Transfer.weights`; loads nothing.

        Raises: MissingWeights, UserError: what would also stop `segment`.
        """
        backend = self.on(pocket, subject)
        return {} if backend == "files" else Asked("masks", backend).weights(self)

    def facts(self, pocket: bool = False, subject: str | None = None) -> dict[str, Any]:
        """Back end, and id and hash of its weights, as JSON for manifests. Raises: as `files`."""
        backend = self.on(pocket, subject)
        return {"backend": backend} if backend == "files" else Asked("masks", backend).facts(self)


def segment(
    frames: np.ndarray,
    subject: str,
    settings: MaskSettings | None = None,
    *,
    pocket: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Step | None = None,
) -> np.ndarray:
    """The subject's mask in each frame.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        subject: the subject in a few words, such as "silver jeep"; its last word has to mean one of COCO's
            classes where Mask2Former looks for it.
        pocket: the backbone is of the sprite world; decides what `auto` means.
        dtype: of the networks' weights; None is float32.

    Returns:
        (F, H, W) bool; a frame in which the subject is hidden is empty.

    Raises:
        UserError: no subject found (never the whole picture instead), or impossible settings.
        MissingWeights: weights or a package are not there; the line says how to get or replace them.
    """
    from motionkit.perception.pixels import check_frames

    settings = settings or MaskSettings()
    settings.check(pocket, subject)
    check_frames(frames)
    backend = settings.on(pocket, subject)
    if backend == "files":
        assert settings.path is not None
        masks = files.read_masks(settings.path, *frames.shape[:3])
    else:
        view = View(frames, subject=subject, device=device, dtype=dtype, progress=progress)
        masks = Asked("masks", backend).array(view, settings, "bool")
    return believed(masks, settings.smallest, subject)


def believed(masks: np.ndarray, smallest: float, subject: str) -> np.ndarray:
    """The masks, those of a tiny share of the frame emptied.

    Raises:
        UserError: no frame shows the subject, or it fills every frame entirely.
    """
    shares = masks.mean((1, 2))
    masks = masks & (shares >= smallest)[:, None, None]
    named = f"no subject {subject!r} found" if subject else "no subject found"
    if not masks.any():
        seen = f" (at most {shares.max():.2%} of a frame, less than {smallest:.2%})" if shares.max() > 0 else ""
        raise UserError(f"{named}{seen}: name another subject, say where it is in frame 0, or give masks=")
    if masks.all():
        raise UserError(f"{named}: the masks cover every frame entirely; name another subject, or give masks=")
    return masks
