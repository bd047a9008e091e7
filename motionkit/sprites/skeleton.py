"""The common skeleton of all sprites: twelve bones, one keypoint each, and forward kinematics over whole clips.

World units: x to the right (the way a character faces), y up, ground at y = 0, a character is about 1 tall or long.
Angles are radians, counter-clockwise. Shape legend: F frames, 12 bones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

BONES = (
    "torso",
    "neck",
    "head",
    "arm_near",
    "forearm_near",
    "arm_far",
    "forearm_far",
    "leg_near",
    "shin_near",
    "leg_far",
    "shin_far",
    "tail",
)
BONE_INDEX = {name: i for i, name in enumerate(BONES)}
PARENT = {
    "neck": "torso",
    "head": "neck",
    "tail": "torso",
    "arm_near": "torso",
    "forearm_near": "arm_near",
    "arm_far": "torso",
    "forearm_far": "arm_far",
    "leg_near": "torso",
    "shin_near": "leg_near",
    "leg_far": "torso",
    "shin_far": "leg_far",
}
# Where along its bone the keypoint sits (0 start, 1 end): ends of limbs, centres of torso and head.
KEYPOINT_AT = {"torso": 0.5, "neck": 0.6, "head": 0.5}
DOWN = -np.pi / 2


@dataclass(frozen=True)
class Body:
    """Proportions of one articulated body.

    Attributes:
        template: "quadruped" or "biped".
        length: bone name to length, world units.
        rest: bone name to absolute rest angle, radians.
        root: (x, y) of the hip in the rest pose; y is only a start value, feet are put on the ground later.
    """

    template: str
    length: Mapping[str, float]
    rest: Mapping[str, float]
    root: tuple[float, float]


def _starts_at_hip(bone: str) -> bool:
    return bone.startswith("leg") or bone == "tail"


def _turns_with_torso(bone: str, template: str) -> bool:
    """Hind legs never turn with the torso; a quadruped's front legs do not either (they stand on the ground)."""
    if bone.startswith("leg"):
        return False
    return not (template == "quadruped" and bone.startswith("arm"))


def pose(body: Body, delta: Mapping[str, np.ndarray], frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics of a clip.

    Args:
        body: proportions.
        delta: bone name to rotation away from rest (F,), radians; absent bones do not turn.
        frames: F.

    Returns:
        start (F, 12, 2) of every bone in world units relative to the hip, and absolute angle (F, 12).
    """
    start = np.zeros((frames, len(BONES), 2))
    angle = np.zeros((frames, len(BONES)))
    turned: dict[str, np.ndarray] = {}
    zero = np.zeros(frames)
    for bone in BONES:
        i, own = BONE_INDEX[bone], np.asarray(delta.get(bone, zero))
        parent = PARENT.get(bone)
        if parent is None:
            turned[bone] = own
        elif parent == "torso" and not _turns_with_torso(bone, body.template):
            turned[bone] = own
        else:
            turned[bone] = turned[parent] + own
        angle[:, i] = body.rest[bone] + turned[bone]
        if parent is not None and not _starts_at_hip(bone):
            start[:, i] = bone_point(body, start, angle, parent, 1.0)
    return start, angle


def bone_point(body: Body, start: np.ndarray, angle: np.ndarray, bone: str, at: float) -> np.ndarray:
    """The point (F, 2) at fraction `at` of a bone."""
    i = BONE_INDEX[bone]
    direction = np.stack([np.cos(angle[:, i]), np.sin(angle[:, i])], -1)  # (F, 2)
    return start[:, i] + at * body.length[bone] * direction


def turn_about(
    start: np.ndarray, angle: np.ndarray, by: np.ndarray, centre: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Turns the whole body about `centre` (relative to the hip) by `by` (F,), radians (a spin)."""
    c, s = np.cos(by)[:, None], np.sin(by)[:, None]
    x, y = start[..., 0] - centre[0], start[..., 1] - centre[1]
    turned = np.stack([c * x - s * y + centre[0], s * x + c * y + centre[1]], -1)  # (F, 12, 2)
    return turned, angle + by[:, None]
