"""OpenPose through controlnet-aux (extra `annotators`), with body, hands and face.

Cao et al. 2019, arXiv 1812.08008. Weights: hub id lllyasviel/Annotators; their licence (CMU) is for non-commercial use.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.built_in import OPENPOSE_WEIGHTS as WANTED
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.pose.clip import PoseClip
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.perception.pose.people import box_of, choose
from motionkit.weights import finding

FILES = WANTED.files
FACE_POINTS = 68


def check(settings: PoseSettings) -> None:
    """controlnet-aux and its three files are here. Raises: MissingWeights."""
    locate(settings.weights)
    if importlib.util.find_spec("controlnet_aux") is None:
        raise MissingWeights(
            "pose backend openpose needs controlnet-aux: pip install 'motionkit[annotators]', "
            "or give the poses as a file (.npz or .json)"
        )


def read(frames: np.ndarray, settings: PoseSettings, *, device: str = "cpu") -> PoseClip:
    """One person's poses in frames (F, H, W, 3) uint8 RGB.

    Raises:
        MissingWeights: controlnet-aux or a file is missing.
        UserError: a file holds something else.
    """
    check(settings)
    detector = load_detector(locate(settings.weights), device)
    return find(frames, detector, settings.person)


def locate(weights: str = "") -> Path:
    """The folder with the three files. Raises: as `weights.finding.find`."""
    return finding.find(WANTED, weights or None)


def load_detector(folder: Path, device: str = "cpu") -> Any:
    """controlnet-aux's detector. Raises: MissingWeights, UserError."""
    try:
        from controlnet_aux import OpenposeDetector
    except Exception as error:  # it imports a dozen annotators, any of which may fail with any error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise MissingWeights(
            f"controlnet-aux cannot be imported ({reason}): pip install 'motionkit[annotators]'"
        ) from error
    import torch

    try:
        for name in FILES:  # read here first: the library itself leaves it to torch's default not to unpickle code
            torch.load(folder / name, map_location="cpu", weights_only=True)
        return OpenposeDetector.from_pretrained(str(folder)).to(device)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise UserError(f"{folder}: no weights of OpenPose ({reason}); get them again") from error


def find(frames: np.ndarray, detector: Any, person: str) -> PoseClip:
    """Runs controlnet-aux's `detect_poses` on each frame and chooses one person."""
    height, width = frames.shape[1:3]
    people = [detector.detect_poses(frame, include_hand=True, include_face=True) for frame in frames]
    bodies = [[_points(p.body.keypoints, 18) for p in found] for found in people]
    boxes = [np.array([box_of(b * [width, height]) for b in found]).reshape(-1, 4) for found in bodies]  # (n, 4) each
    chosen = choose(boxes, person)
    parts: list[list[np.ndarray]] = [[], [], []]
    for found, at in zip(people, chosen, strict=True):
        one = found[at] if at is not None else None
        parts[0].append(_points(one.body.keypoints if one else None, 18))
        parts[1].append(np.stack([_points(h, 21) for h in ((one.left_hand, one.right_hand) if one else (None, None))]))
        parts[2].append(_points(one.face if one else None, FACE_POINTS))
    most = max((len(found) for found in people), default=0)
    notes = (f"up to {most} people in a frame: one of them is used (person={person})",) if most > 1 else ()
    body, hands, faces = (np.stack(part) for part in parts)
    return PoseClip.of(body, (height, width), hands=hands, faces=faces, notes=notes)


def _points(keypoints: Sequence[Any] | None, count: int) -> np.ndarray:
    """(count, 2) fractions, NaN for None or negative values (the library's marks of an unseen point)."""
    out = np.full((count, 2), np.nan)
    for i, point in enumerate((keypoints or ())[:count]):
        if point is not None and point.x >= 0 and point.y >= 0:
            out[i] = point.x, point.y
    return out


class OpenPose(Estimator):
    """Poses by `read`."""

    def check(self, settings: PoseSettings) -> None:
        """controlnet-aux and its three files are here. Raises: MissingWeights."""
        check(settings)

    def weights(self, settings: PoseSettings) -> dict[str, Path]:
        """The three files by name. Raises: MissingWeights."""
        folder = locate(settings.weights)
        return {name: folder / name for name in FILES}

    def read(self, view: View, settings: PoseSettings) -> PoseClip:
        """One person's poses."""
        return read(view.frames, settings, device=str(view.device))
