"""Aligns driving poses to the body of a reference: `compat` as in UniAnimate's tool, `safe` where joints are missing.

Animate-X itself aligns nothing; its users scale by hand. UniAnimate (arXiv 2406.01188) publishes the tool whose
arithmetic `compat` repeats: it needs a whole frontal body in the first frame and takes unseen joints for joints at -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from motionkit.errors import UserError, unknown
from motionkit.perception.pose.clip import BODY, FACE, HANDS, LEFT_HAND, RIGHT_HAND, PoseClip

MODES = ("none", "safe", "compat")
FACTORS = (0.25, 4.0)  # what `safe` lets one bone change at most
ALIKE = 3  # at most so many of the driving frames, the most alike ones, are measured
SAME, ABOUT = 0.01, 0.05  # of the reference's longest bone: the same pose; poses that are about as near as the nearest
WHOLE = 0.75  # of the most joints that a frame shares: frames that share fewer are not compared
LEAST_TURN = 0.2  # radians: a head that differs by less is not turned
SHORTEST = 0.05  # a bone shorter than this share of the longest one seen is foreshortened: nothing is measured on it


class Bone(NamedTuple):
    """A bone whose length is aligned, and the points that move with its far end."""

    name: str
    parent: int
    child: int
    moves: tuple[int, ...]


def _indices(*parts: slice) -> tuple[int, ...]:
    return tuple(i for part in parts for i in range(part.start, part.stop))


_RIGHT, _LEFT = _indices(RIGHT_HAND), _indices(LEFT_HAND)
BONES = (
    Bone("neck", 1, 0, (0, 14, 15, 16, 17)),
    Bone("shoulder2", 1, 2, (2, 3, 4, *_RIGHT)),
    Bone("shoulder5", 1, 5, (5, 6, 7, *_LEFT)),
    Bone("arm3", 2, 3, (3, 4, *_RIGHT)),
    Bone("arm4", 3, 4, (4, *_RIGHT)),
    Bone("arm6", 5, 6, (6, 7, *_LEFT)),
    Bone("arm7", 6, 7, (7, *_LEFT)),
    Bone("head14", 0, 14, (14, 16)),
    Bone("head15", 0, 15, (15, 17)),
    Bone("head16", 14, 16, (16,)),
    Bone("head17", 15, 17, (17,)),
    Bone("ll1", 8, 9, (9, 10, 19)),
    Bone("ll2", 9, 10, (10, 19)),
    Bone("rl1", 11, 12, (12, 13, 18)),
    Bone("rl2", 12, 13, (13, 18)),
)
NECK, HIPS, SHOULDERS = 1, (8, 11), (2, 5)
TRUNK = [NECK, NECK, *HIPS]  # the neck counts as much as both hips
HEAD = (0, 14, 15, 16, 17, *_indices(FACE))


@dataclass(frozen=True)
class Alignment:
    """What an alignment did, the same on every frame.

    Attributes:
        scale: (x, y) factors of the whole body.
        ratios: bone -> factor of its length; bones that were skipped are 1.
        offset: (2,) shift at the end, fractions of the reference picture.
        anchor: the driving frame on which it was measured; of several, the first.
        skipped: bones with an end that was not seen.
        head_turn: radians by which the head is turned about the neck.
    """

    scale: tuple[float, float]
    ratios: Mapping[str, float]
    offset: np.ndarray
    anchor: int = 0
    skipped: tuple[str, ...] = field(default=())
    head_turn: float = 0.0


def align(driving: PoseClip, reference: PoseClip, mode: str = "safe") -> tuple[PoseClip, Alignment | None]:
    """The driving poses with the proportions and the place of the reference's first pose.

    Args:
        driving: poses to change.
        reference: its first frame shows the body to align to.
        mode: "none", "safe" or "compat" (see the module).

    Returns:
        The poses, as fractions of the reference picture, and what was done (None for "none").

    Raises:
        UserError: unknown mode; too few joints to align by (safe); joints missing so that the result is not finite
            (compat).
    """
    if mode not in MODES:
        raise unknown("alignment", mode, MODES)
    if mode == "none":
        return driving, None
    alignment = measure_compat(driving, reference) if mode == "compat" else measure_safe(driving, reference)
    return (apply_compat if mode == "compat" else apply_safe)(driving, reference, alignment), alignment


def stretch(xy: np.ndarray, bone: Bone, ratio: float | np.ndarray) -> None:
    """Moves the far end of a bone and its points by (child - parent) (ratio - 1), in place; xy (F, 130, 2).

    Frames in which an end of the bone is NaN keep their points.
    """
    shift = (xy[:, bone.child] - xy[:, bone.parent]) * (ratio - 1)  # (F, 2)
    xy[:, bone.moves] += np.where(np.isfinite(shift), shift, 0.0)[:, None]


def measure_compat(driving: PoseClip, reference: PoseClip) -> Alignment:
    """The authors' 17 numbers and the offset, from the first frames as they are, unseen joints at -1 included.

    Raises:
        UserError: a division by zero, which means that joints are missing.
    """
    first, ref = driving.xy[:1].copy(), reference.xy[0]
    with np.errstate(all="ignore"):
        scale_x = (ref[5, 0] - ref[2, 0]) / (first[0, 5, 0] - first[0, 2, 0])
        tall = [(p[8, 1] + p[11, 1]) / 2 - (p[2, 1] + p[5, 1]) / 2 for p in (ref, first[0])]
        scale_y = tall[0] / tall[1]
        first *= [scale_x, scale_y]
        ratios: dict[str, float] = {}
        for bone in BONES:
            ratios[bone.name] = float(_length(ref, bone) / _length(first[0], bone))
            stretch(first, bone, ratios[bone.name])
    offset = ref[NECK] - first[0, NECK]
    if not (np.isfinite([scale_x, scale_y, *ratios.values()]).all() and np.isfinite(offset).all()):
        raise UserError(
            "align=compat needs the whole body in the first driving frame and in the reference; "
            "joints are missing there: use align=safe or align=none"
        )
    return Alignment((float(scale_x), float(scale_y)), ratios, offset)


def apply_compat(driving: PoseClip, reference: PoseClip, alignment: Alignment) -> PoseClip:
    """Every point of every frame scaled, its bones stretched, then shifted; unseen points are moved like the others.

    Points of hands and face count as seen afterwards: the authors' drawing asks only whether they lie in the picture.
    """
    xy = driving.xy * alignment.scale
    for bone in BONES:
        stretch(xy, bone, alignment.ratios[bone.name])
    xy += alignment.offset
    seen = driving.seen.copy()
    seen[:, HANDS] = seen[:, FACE] = True
    return PoseClip(xy, seen, reference.size, driving.fps, driving.notes)


def measure_safe(driving: PoseClip, reference: PoseClip) -> Alignment:
    """Factors in pixels of each picture's own aspect, from the driving frames whose pose is most like the reference's.

    The reference may be caught in a leap: only beside frames of the same moment its size, its place and the carriage of
    its head tell what is the body's own and what the motion's.

    One scale for the whole body, by the length from neck to hips (else shoulders, else all shared bones); a bone is
    skipped when one of its ends is not seen in either picture or it is foreshortened there, and changes within
    FACTORS. The head of a body on four legs is turned about the neck: kinds carry it differently.

    Raises:
        UserError: fewer than two joints are seen in both.
    """
    ref, xy = reference.pixels()[0], driving.pixels()
    frames = _most_alike(xy, ref)
    if not frames:
        raise UserError(
            "align=safe found fewer than two joints that both the driving clip and the reference show: "
            "use align=none, or give the poses as files"
        )
    near = xy[list(frames)]  # (n, 130, 2)
    scale = float(np.median([_overall(ref, points) for points in near]))
    near *= scale
    ratios, skipped = _stretch_like(near, ref)
    turn = _head_turn(near, ref)
    _turn_head(near, turn)
    offset = np.mean([_place(ref, points) for points in near], 0) / [reference.size[1], reference.size[0]]
    return Alignment((scale, scale), ratios, offset, frames[0], skipped, turn)


def apply_safe(driving: PoseClip, reference: PoseClip, alignment: Alignment) -> PoseClip:
    """Align every frame in the reference's aspect; unseen points stay unseen, the face moves with the nose."""
    xy = driving.pixels() * alignment.scale
    nose = xy[:, 0].copy()
    for bone in BONES:
        stretch(xy, bone, alignment.ratios[bone.name])
    moved = xy[:, 0] - nose
    xy[:, FACE] += np.where(np.isfinite(moved), moved, 0.0)[:, None]
    _turn_head(xy, alignment.head_turn)
    height, width = reference.size
    xy = xy / [width, height] + alignment.offset
    return driving.with_points(xy, size=reference.size)


def _most_alike(xy: np.ndarray, ref: np.ndarray) -> tuple[int, ...]:
    """The frames of (F, 130, 2) whose pose is nearest to ref (130, 2) once it has its lengths and place, ALIKE at most.

    Of those that are about as near the first ones, so that a walk begins at the reference's place; none where no frame
    shares two joints. Frames that show much less of the body than others do not count.
    """
    shared = np.isfinite(xy[:, BODY] - ref[BODY]).all(-1).sum(1)  # (F,)
    least = max(2.0, WHOLE * shared.max())
    away = {int(t): _distance(xy[[t]], ref) for t in np.flatnonzero(shared >= least)}
    if same := [t for t in away if away[t] <= SAME * _longest(ref)]:
        return (same[0],)  # the reference is a moment of this very motion
    about = min(away.values(), default=0.0) + ABOUT * _longest(ref)
    return tuple(t for t in away if away[t] <= about)[:ALIKE]


def _distance(pose: np.ndarray, ref: np.ndarray) -> float:
    """Mean distance of the shared joints in pixels, after a pose (1, 130, 2) got the lengths and the place of ref."""
    pose = pose * _overall(ref, pose[0])
    _stretch_like(pose, ref)
    _turn_head(pose, _head_turn(pose, ref))
    return float(np.nanmean(np.linalg.norm(pose[0, BODY] + _place(ref, pose[0]) - ref[BODY], axis=-1)))


def _stretch_like(poses: np.ndarray, ref: np.ndarray) -> tuple[dict[str, float], tuple[str, ...]]:
    """Gives poses (n, 130, 2), in place, the bones of ref by their median length; the ratios, and what was skipped."""
    shortest = [SHORTEST * _longest(points) for points in (ref, *poses)]
    ratios, skipped = {}, []
    for bone in BONES:
        own, given = _length(ref, bone), [_length(points, bone) for points in poses]
        usable = [n for n, short in zip(given, shortest[1:], strict=True) if np.isfinite(n) and n >= short]
        fits = bool(usable) and np.isfinite(own) and own >= shortest[0]
        ratios[bone.name] = float(np.clip(own / np.median(usable), *FACTORS)) if fits else 1.0
        if not fits:
            skipped.append(bone.name)
        stretch(poses, bone, ratios[bone.name])
    return ratios, tuple(skipped)


def _head_turn(near: np.ndarray, ref: np.ndarray) -> float:
    """Radians by which ref's neck is turned against its body more than that of poses (n, 130, 2), in the median.

    0 for a body that stands upright, whose head moves by itself, for what is hidden, and for less than LEAST_TURN.
    """
    body = ref[NECK] - ref[list(HIPS)].mean(0)
    turns = np.angle(np.exp(1j * (_carriage(ref) - _carriage(near))))  # (n,) within +-pi
    turns = turns[np.isfinite(turns)]
    if not len(turns) or not abs(body[0]) > abs(body[1]):
        return 0.0
    turn = float(np.median(turns))
    return turn if abs(turn) > LEAST_TURN else 0.0


def _carriage(points: np.ndarray) -> np.ndarray:
    """The angle (...) of the neck to the body of points (..., 130, 2), radians."""
    body = points[..., NECK, :] - points[..., list(HIPS), :].mean(-2)
    neck = points[..., 0, :] - points[..., NECK, :]
    return np.arctan2(neck[..., 1], neck[..., 0]) - np.arctan2(body[..., 1], body[..., 0])


def _turn_head(xy: np.ndarray, turn: float) -> None:
    """Turns head and face of points (F, 130, 2) about the neck, in place; not where the neck is hidden."""
    if turn:
        c, s = np.cos(turn), np.sin(turn)
        neck = xy[:, [NECK]]  # (F, 1, 2)
        turned = neck + (xy[:, HEAD] - neck) @ np.array([[c, s], [-s, c]])  # (F, n, 2)
        xy[:, HEAD] = np.where(np.isfinite(neck), turned, xy[:, HEAD])


def _length(points: np.ndarray, bone: Bone) -> float:
    dx, dy = points[bone.parent] - points[bone.child]
    return float((dx**2 + dy**2) ** 0.5)


def _longest(points: np.ndarray) -> float:
    return float(np.nanmax([_length(points, bone) for bone in _MEASURED] + [1e-9]))


_MEASURED = (*BONES, Bone("torso8", 1, 8, ()), Bone("torso11", 1, 11, ()))


def _overall(ref: np.ndarray, drv: np.ndarray) -> float:
    """One factor for the whole body, from the first pair of lengths that both show."""
    longest = [np.nanmax([_length(p, bone) for bone in _MEASURED] + [0.0]) for p in (ref, drv)]
    for length in (_torso, _shoulders):
        sizes = length(ref), length(drv)
        if all(np.isfinite(n) and n >= SHORTEST * most > 0 for n, most in zip(sizes, longest, strict=True)):
            return sizes[0] / sizes[1]
    pairs = [(_length(ref, bone), _length(drv, bone)) for bone in _MEASURED]
    known = [a / b for a, b in pairs if np.isfinite([a, b]).all() and a > 0 and b > 0]
    return float(np.median(known)) if known else 1.0


def _torso(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[list(HIPS)].mean(0) - points[NECK]))


def _shoulders(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[SHOULDERS[0]] - points[SHOULDERS[1]]))


def _place(ref: np.ndarray, drv: np.ndarray) -> np.ndarray:
    """The shift (2,) in pixels that puts the body in place.

    By the middle between neck and hips, else by the neck, the hips, or the middle of the shared joints.
    """
    for joints in (TRUNK, [NECK], list(HIPS), list(range(18))):
        shift = ref[joints] - drv[joints]
        there = np.isfinite(shift).all(-1)
        if there.any() and (there.all() or len(joints) == 18):
            return shift[there].mean(0)
    raise AssertionError("two shared joints were counted before")
