"""SAM 2 follows one object from its place in frame 0 through a clip (Ravi et al. 2024, arXiv 2408.00714)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from motionkit.errors import UserError
from motionkit.perception import files, mask2former, networks
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.masks import MaskSettings, believed
from motionkit.perception.networks import NETWORKS, load, normalisation
from motionkit.perception.pixels import to_pixels

_INSIDE, _LEFT_TOP, _RIGHT_BOTTOM = 1, 2, 3  # labels of points


@dataclass(frozen=True)
class ObjectPrompt:
    """Where the object is in frame 0: a mask (H, W) bool, or a box and a point as shares of the frame."""

    mask: np.ndarray | None = None
    box: tuple[float, ...] | None = None
    point: tuple[float, ...] | None = None


@torch.inference_mode()
def follow(
    frames: np.ndarray,
    prompt: ObjectPrompt,
    weights: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The object's mask in each frame.

    The pictures are prepared here and not by transformers' processor, which needs torchvision.

    Args:
        frames: (F, H, W, 3) uint8.
        weights: folder or hub id; None is the default.

    Returns:
        (F, H, W) bool.

    Raises:
        UserError: an empty prompt; MissingWeights, UserError: as `networks.load`.
    """
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    if prompt.mask is None and prompt.box is None and prompt.point is None:
        raise UserError("masks: sam2 needs to know where the subject is in frame 0: give a box, a point or a mask")
    model, folder = load(NETWORKS["sam2"], weights, device, dtype)
    size = model.config.image_size
    side = size if isinstance(size, int) else size[0]
    height, width = frames.shape[1:3]
    session = Sam2VideoInferenceSession(
        video=to_pixels(frames, side, side, *normalisation(folder), Image.Resampling.BILINEAR),
        video_height=height,
        video_width=width,
        inference_device=device,
        inference_state_device=device,
        video_storage_device="cpu",
        dtype=model.dtype,
    )
    _tell(session, prompt, side)
    masks = np.zeros((len(frames), height, width), bool)
    for output in model.propagate_in_video_iterator(session, start_frame_idx=0):
        logits = functional.interpolate(output.pred_masks.float(), (height, width), mode="bilinear")  # (1, 1, H, W)
        masks[output.frame_idx] = (logits[0, 0] > 0).cpu().numpy()
        if progress:
            progress(output.frame_idx + 1, len(frames))
    return masks


def _tell(session: Any, prompt: ObjectPrompt, side: int) -> None:
    """Put the prompt into the session as one object in frame 0; coordinates are pixels of the square picture."""
    index = session.obj_id_to_idx(1)
    if prompt.mask is not None:
        mask = torch.from_numpy(prompt.mask).float()[None, None]  # (1, 1, H, W)
        mask = functional.interpolate(mask, (side, side), mode="bilinear", antialias=True)
        session.add_mask_inputs(index, 0, (mask >= 0.5).float())
    else:
        points, labels = _points(prompt)
        points, labels = points[None, None] * side, labels[None, None]  # (1, 1, n, 2), (1, 1, n)
        session.add_point_inputs(index, 0, {"point_coords": points, "point_labels": labels})
    session.obj_with_new_inputs = [1]


def _points(prompt: ObjectPrompt) -> tuple[Tensor, Tensor]:
    """A box as its two corners, then the point: (n, 2) float32 and their labels (n,) int32."""
    points: list[tuple[float, ...]] = []
    labels: list[int] = []
    if prompt.box is not None:
        points, labels = [prompt.box[:2], prompt.box[2:]], [_LEFT_TOP, _RIGHT_BOTTOM]
    if prompt.point is not None:
        points, labels = [*points, prompt.point], [*labels, _INSIDE]
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels, dtype=torch.int32)


class Sam2(Estimator):
    """Masks by `follow`, from the user's box, point or mask in frame 0, else from what Mask2Former finds there."""

    def weights(self, settings: MaskSettings) -> dict[str, Path]:
        """The files of the networks that are asked. Raises: MissingWeights, UserError."""
        found: dict[str, Path] = {}
        for network, path in self._networks(settings):
            networks.need_module(network)
            found |= networks.files(network, path)
        return found

    def facts(self, settings: MaskSettings) -> dict[str, Any]:
        """Id and hash of each network."""
        return {network.model_type: networks.facts(network, path) for network, path in self._networks(settings)}

    def _networks(self, settings: MaskSettings) -> list[tuple[networks.Network, str | None]]:
        asked = [(NETWORKS["sam2"], settings.weights)]
        return asked if settings.started else [*asked, (NETWORKS["mask2former"], settings.classes)]

    def read(self, view: View, settings: MaskSettings) -> np.ndarray:
        """Masks (F, H, W) bool of one object."""
        prompt = self._prompt(view, settings)
        return follow(view.frames, prompt, settings.weights, view.device, view.dtype, view.progress)

    def _prompt(self, view: View, settings: MaskSettings) -> ObjectPrompt:
        frames, subject, smallest, mask = view.frames, settings.seen_as or view.subject, settings.smallest, None
        if settings.start is not None:
            mask = believed(files.read_masks(settings.start, 1, *frames.shape[1:3]), smallest, subject)[0]
        elif not settings.started:
            networks.files(NETWORKS["sam2"], settings.weights)  # refuse before the other network works
            mask = mask2former.segment(frames[:1], subject, settings.classes, smallest, view.device, view.dtype)[0]
        return ObjectPrompt(mask, settings.box, settings.point)
