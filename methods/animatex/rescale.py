"""The rescale pool: lengths of a skeleton changed, parts dropped and added, in place and equally on all frames.

Animate-X (arXiv 2410.10306), section 3.2: "modifying the length of the body, legs, arms, neck, and shoulders, altering
face size, even adding or removing specific body parts". Points are (F, 130, 2) as in motionkit.perception.pose.clip;
NaN where unseen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motionkit.perception.pose import PoseClip
from motionkit.perception.pose.align import BONES, Bone, stretch
from motionkit.perception.pose.clip import FACE, LEFT_HAND, RIGHT_HAND

ORDER = ("drop", "add", "body", "shoulders", "neck", "face", "arms", "legs")
_BY_NAME = {bone.name: bone for bone in BONES}
_FACE = list(range(FACE.start, FACE.stop))
_LOWER = [8, 9, 10, 11, 12, 13, 18, 19]
_NECK = Bone("neck", 1, 0, (*_BY_NAME["neck"].moves, *_FACE))
LIMBS: dict[str, tuple[int, ...]] = {
    "right arm": (3, 4, *range(RIGHT_HAND.start, RIGHT_HAND.stop)),
    "left arm": (6, 7, *range(LEFT_HAND.start, LEFT_HAND.stop)),
    "right leg": (9, 10, 19),
    "left leg": (12, 13, 18),
    "feet": (18, 19),
    "face": (14, 15, 16, 17, *_FACE),
}
PARTS: dict[str, tuple[int, ...]] = LIMBS | {
    "arms": LIMBS["right arm"] + LIMBS["left arm"],
    "legs": LIMBS["right leg"] + LIMBS["left leg"],
}
FOOT = 0.3  # length of an added foot, of the shin
_ROOT = {"right arm": 2, "left arm": 5, "right leg": 8, "left leg": 11, "face": 0}


def body(xy: np.ndarray, factor: float) -> None:
    """The trunk's length from neck to hips; legs and feet go along."""
    hips = xy[:, [8, 11]]
    one = np.where(np.isfinite(hips[:, 0]), hips[:, 0], hips[:, 1])  # where only one is seen
    middle = np.where(np.isfinite(hips).all(1), hips.mean(1), one)  # (F, 2)
    shift = (middle - xy[:, 1]) * (factor - 1)  # (F, 2)
    xy[:, _LOWER] += np.where(np.isfinite(shift), shift, 0.0)[:, None]


def shoulders(xy: np.ndarray, factor: float) -> None:
    """The shoulders' distance from the neck; arms and hands go along."""
    for name in ("shoulder2", "shoulder5"):
        stretch(xy, _BY_NAME[name], factor)


def neck(xy: np.ndarray, factor: float) -> None:
    """The length from neck to nose; the head goes along."""
    stretch(xy, _NECK, factor)


def face(xy: np.ndarray, factor: float) -> None:
    """The size of the face about the nose: eyes, ears and face points."""
    points = [14, 15, 16, 17, *_FACE]
    shift = (xy[:, points] - xy[:, [0]]) * (factor - 1)
    xy[:, points] += np.where(np.isfinite(shift), shift, 0.0)


def arms(xy: np.ndarray, factor: float) -> None:
    """Upper and lower arms; hands go along."""
    for name in ("arm3", "arm4", "arm6", "arm7"):
        stretch(xy, _BY_NAME[name], factor)


def legs(xy: np.ndarray, factor: float) -> None:
    """Thighs and shins; feet go along."""
    for name in ("ll1", "ll2", "rl1", "rl2"):
        stretch(xy, _BY_NAME[name], factor)


LENGTHS: dict[str, Callable[[np.ndarray, float], None]] = {
    "body": body,
    "shoulders": shoulders,
    "neck": neck,
    "face": face,
    "arms": arms,
    "legs": legs,
}


def drop(seen: np.ndarray, share: float) -> str | None:
    """Removes one part on every frame; of those that any frame shows, the one at `share` in [0, 1). None: no part."""
    shown = [name for name, points in PARTS.items() if seen[:, points].any()]
    if not shown:
        return None
    name = shown[int(share * len(shown))]
    seen[:, PARTS[name]] = False
    return name


def add(xy: np.ndarray, seen: np.ndarray, anchor: PoseClip, share: float, size: tuple[int, int]) -> str | None:
    """Adds one limb that no frame shows, chosen by `share` in [0, 1); None where nothing can be added.

    Arms, legs and face are those of the anchor pose, in its posture, hung where the clip has shoulder, hip or nose;
    feet are drawn at the ankles, at a right angle to the shin, towards where the nose points.
    """
    can = [name for name in LIMBS if not seen[:, LIMBS[name]].any() and _possible(name, seen, anchor)]
    if not can:
        return None
    name = can[int(share * len(can))]
    if name == "feet":
        _feet(xy, seen, size)
        return name
    root, points = _ROOT[name], [p for p in LIMBS[name] if anchor.seen[0, p]]
    aspect = np.array([anchor.size[1] / size[1], anchor.size[0] / size[0]])
    away = (anchor.xy[0, points] - anchor.xy[0, root]) * aspect * _scale(xy, seen, anchor, size)
    for frame in np.flatnonzero(seen[:, root]):
        xy[frame, points] = xy[frame, root] + away
        seen[frame, points] = True
    return name


def _possible(name: str, seen: np.ndarray, anchor: PoseClip) -> bool:
    if name == "feet":
        return bool(seen[:, [9, 10]].all(1).any() or seen[:, [12, 13]].all(1).any())
    root = _ROOT[name]
    return bool(seen[:, root].any() and anchor.seen[0, root] and anchor.seen[0, list(LIMBS[name])].any())


def _scale(xy: np.ndarray, seen: np.ndarray, anchor: PoseClip, size: tuple[int, int]) -> float:
    """The clip's body over the anchor's, by the longest distance between seen joints; 1 where it cannot be told."""
    lengths = []
    for points, flags, (high, wide) in ((xy, seen, size), (anchor.xy, anchor.seen, anchor.size)):
        whole = flags[:, :14] & seen[:, :14].any(0) & anchor.seen[0, :14]
        frame = int(whole.sum(1).argmax())
        body_points = points[frame, :14][whole[frame]] * [wide, high]
        lengths.append(float(np.ptp(body_points, axis=0).max()) if len(body_points) > 1 else 0.0)
    return lengths[0] / lengths[1] if min(lengths) > 0 else 1.0


def _feet(xy: np.ndarray, seen: np.ndarray, size: tuple[int, int]) -> None:
    """Left (18) and right (19) foot from knee and ankle; the side of the nose from the neck says where toes point."""
    unit = np.array([size[1], size[0]], np.float64)
    towards = np.where(seen[:, 0] & seen[:, 1], np.sign(xy[:, 0, 0] - xy[:, 1, 0]), 1.0)
    towards = np.where(towards == 0, 1.0, towards)
    for foot, knee, ankle in ((18, 12, 13), (19, 9, 10)):
        there = seen[:, [knee, ankle]].all(1)
        shin = (xy[:, ankle] - xy[:, knee]) * unit  # (F, 2) pixels
        side = np.stack([shin[:, 1], -shin[:, 0]], -1) * towards[:, None]
        xy[there, foot] = (xy[:, ankle] + FOOT * side / unit)[there]
        seen[there, foot] = True
