"""Masks, depth and correspondence of sprites: outputs of the sprite network of `pocket_maps`, as three estimators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.perception import files
from motionkit.perception.correspondence import Correspondence
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.follow_subject import choose
from motionkit.perception.masks import MaskSettings, believed
from motionkit.perception.matching import fill, pixels_to_points
from motionkit.perception.pocket_maps import PocketMaps, match
from motionkit.sprites.kinds import COLOURS


class _Pocket(Estimator):
    def weights(self, settings: Any) -> dict[str, Path]:
        """The sprite network's file. Raises: MissingWeights."""
        return files.pocket_file()


class PocketMasks(_Pocket):
    """Masks, of the chosen character where there are several."""

    def read(self, view: View, settings: MaskSettings) -> np.ndarray:
        """Masks (F, H, W) bool."""
        frames, subject, smallest = view.frames, view.subject, settings.smallest
        masks = believed(PocketMaps.load().maps(frames, view.device).mask > 0.5, smallest, subject)
        return choose(masks, frames, subject, COLOURS, _place(settings, *frames.shape[1:3]))


def _place(settings: MaskSettings, height: int, width: int) -> np.ndarray | None:
    """Where the subject is in frame 0, (H, W) bool, if the user says so."""
    if settings.start is not None:
        return files.read_masks(settings.start, 1, height, width)[0]
    if not settings.started:
        return None
    x, y = settings.point or (0.0, 0.0)
    left, top, right, bottom = settings.box or (x, y, x, y)
    place = np.zeros((height, width), bool)
    rows = slice(int(top * (height - 1)), int(np.ceil(bottom * (height - 1))) + 1)
    place[rows, int(left * (width - 1)) : int(np.ceil(right * (width - 1))) + 1] = True
    return place


class PocketDepth(_Pocket):
    """Depth by the order of the parts."""

    def read(self, view: View, settings: Any) -> np.ndarray:
        """Depth (F, H, W) float32, larger is nearer."""
        return PocketMaps.load().maps(view.frames, view.device).depth.astype(np.float32)


class PocketCorrespondence(_Pocket):
    """Correspondence by parts and the places on them; subject pixels that the network misses are filled in."""

    def read(self, view: View, settings: Any) -> Correspondence:
        """Points of the subject's pixels."""
        assert view.masks is not None
        masks = view.masks
        reading = PocketMaps.load().maps(view.frames, view.device)
        part = np.where(masks, reading.part, -1)
        points = pixels_to_points(match(replace(reading, part=part)), *masks.shape[1:])  # (F, H, W, 2)
        known = np.isfinite(points).all(-1)
        return Correspondence(points=fill(points, known, masks, "correspondence: the sprite network"))
