"""Mask2Former's panoptic segments whose class is the subject (Cheng et al. 2022, arXiv 2112.01527)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from motionkit.errors import UserError
from motionkit.perception import networks
from motionkit.perception.coco import ELSEWHERE, class_name, classes_of
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.masks import MaskSettings
from motionkit.perception.networks import NETWORKS, load, locate
from motionkit.weights.model_files import read_json


@torch.inference_mode()
def segment(
    frames: np.ndarray,
    subject: str,
    weights: str | None = None,
    smallest: float = 0.001,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """All segments of the subject's class, each frame on its own.

    Args:
        frames: (F, H, W, 3) uint8.
        subject: a few words; see `motionkit.perception.coco.classes_of`.
        weights: folder or hub id; None is the default.
        smallest: segments of a smaller share of the frame are left out.

    Returns:
        (F, H, W) bool.

    Raises:
        UserError: the subject is none of the network's classes, or no frame shows one; the line says what was found.
        MissingWeights, UserError: as `networks.load`.
    """
    from transformers import AutoImageProcessor

    network = NETWORKS["mask2former"]
    names = _names(weights)
    wanted = classes_of(subject, names, f", {ELSEWHERE}")
    model, folder = load(network, weights, device, dtype)
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    masks, seen = np.zeros(frames.shape[:3], bool), set[str]()
    for i, frame in enumerate(frames):
        given = processor(images=Image.fromarray(frame), return_tensors="pt")
        output = model(given["pixel_values"].to(device, model.dtype), pixel_mask=given["pixel_mask"].to(device))
        output.class_queries_logits = output.class_queries_logits.float().cpu()
        output.masks_queries_logits = output.masks_queries_logits.float().cpu()
        found = processor.post_process_panoptic_segmentation(
            output, target_sizes=[frame.shape[:2]], label_ids_to_fuse=set()
        )[0]
        for part in found["segments_info"]:
            seen.add(names[part["label_id"]])
            here = (found["segmentation"] == part["id"]).numpy()
            if part["label_id"] in wanted and here.mean() >= smallest:
                masks[i] |= here
        if progress:
            progress(i + 1, len(frames))
    if not masks.any():
        told = ", ".join(sorted(class_name(name) for name in seen))
        told = f"found {told}: name one of these" if told else "found nothing: name another subject"
        raise UserError(f"no {subject!r} found: Mask2Former {told}, {ELSEWHERE}")
    return masks


def _names(weights: str | None) -> dict[int, str]:
    config: Mapping[str, Any] = read_json(locate(NETWORKS["mask2former"], weights) / "config.json")
    return {int(number): str(name) for number, name in (config.get("id2label") or {}).items()}


class Mask2Former(Estimator):
    """Masks by `segment`."""

    def weights(self, settings: MaskSettings) -> dict[str, Path]:
        """The network's files. Raises: MissingWeights, UserError."""
        networks.need_module(NETWORKS["mask2former"])
        return networks.files(NETWORKS["mask2former"], settings.classes)

    def facts(self, settings: MaskSettings) -> dict[str, Any]:
        """Id and hash of the network."""
        return {"mask2former": networks.facts(NETWORKS["mask2former"], settings.classes)}

    def read(self, view: View, settings: MaskSettings) -> np.ndarray:
        """Masks (F, H, W) bool, each frame on its own."""
        given = (settings.classes, settings.smallest, view.device, view.dtype, view.progress)
        return segment(view.frames, settings.seen_as or view.subject, *given)
