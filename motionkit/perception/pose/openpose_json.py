"""OpenPose's own json, as its program and many tools write it: several people, 18 or 25 joints, pixels or fractions."""

from __future__ import annotations

from typing import Any

import numpy as np

from motionkit.perception.pose.clip import PoseClip
from motionkit.perception.pose.people import box_of, choose

MAX_SIDE = 2**16  # pixels
_FROM_25 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
_TOES_25 = ((19, 20), (22, 23))  # big and small toe of the left and of the right foot
_HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")


def from_frames(frames: list[dict[str, Any]], size: tuple[int, int], person: str) -> PoseClip:
    """One person's poses out of OpenPose frames.

    Args:
        frames: {"people": [{"pose_keypoints_2d": [x, y, certainty, ...], ...}], "canvas_width", "canvas_height"}.
        size: (height, width) of the pictures; used where a frame does not state its own canvas.
        person: which of several, see `people.choose`.

    Raises:
        ValueError: lists of another length, or coordinates that do not lie in the picture.
    """
    if not frames:
        raise ValueError("it lists no frames")
    width, height = _canvas(frames[0], size)
    size = (round(height), round(width))
    people = [[_person(p, _canvas(frame, size)) for p in frame.get("people", [])] for frame in frames]
    found = [[box_of(p["points"] * [size[1], size[0]]) for p in frame] for frame in people]
    boxes = [np.array(frame).reshape(-1, 4) for frame in found]  # (n, 4) each
    nobody = {name: np.full(shape, np.nan) for name, shape in _SHAPES.items()}
    chosen = choose(boxes, person)
    taken = [found[at] if at is not None else nobody for found, at in zip(people, chosen, strict=True)]
    parts = {name: np.stack([one[name] for one in taken]) for name in _SHAPES}
    _check_places(parts["points"], size)
    most = max(len(found) for found in people)
    notes = (f"up to {most} people in a frame: one of them is used (person={person})",) if most > 1 else ()
    return PoseClip.of(parts["points"], size, parts["feet"], parts["hands"], parts["faces"], notes=notes)


_SHAPES = {"points": (18, 2), "feet": (2, 2), "hands": (2, 21, 2), "faces": (68, 2)}


def _canvas(frame: dict[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    """(width, height) of the picture that the coordinates belong to."""
    width, height = float(frame.get("canvas_width") or size[1]), float(frame.get("canvas_height") or size[0])
    if not (0.5 < width <= MAX_SIDE and 0.5 < height <= MAX_SIDE):
        raise ValueError(f"a canvas of {width:g} x {height:g}: sides are from 1 to {MAX_SIDE} pixels")
    return width, height


def _check_places(points: np.ndarray, size: tuple[int, int]) -> None:
    seen = points[~np.isnan(points).any(-1)]  # (N, 2)
    if len(seen) and (np.abs(seen - 0.5).max(-1) > 1).mean() > 0.5:
        raise ValueError(
            f"most joints lie far outside a picture of {size[1]} x {size[0]}: state canvas_width and "
            "canvas_height of the pictures that they were found in"
        )


def _person(person: dict[str, Any], canvas: tuple[float, float]) -> dict[str, np.ndarray]:
    body = _triples(person.get("pose_keypoints_2d"))
    if len(body) not in (18, 25):
        raise ValueError(f"a person has {len(body)} body joints, not 18 or 25")
    fractions = np.nanmax(body, initial=0.0) <= 2.0  # some tools write fractions; no body is two pixels large
    by = np.array([1.0, 1.0] if fractions else canvas)
    feet = np.full((2, 2), np.nan)
    if len(body) == 25:
        feet = np.stack([body[list(toes)].mean(0) for toes in _TOES_25])
        body = body[_FROM_25]
    hands = np.stack([_part(person.get(name), 21) for name in _HANDS])
    face = _part(person.get("face_keypoints_2d"), 68)
    return {"points": body / by, "feet": feet / by, "hands": hands / by, "faces": face / by}


def _part(values: Any, count: int) -> np.ndarray:
    points = _triples(values)
    if len(points) not in (0, count, count + 2):  # OpenPose appends the two pupils to the face
        raise ValueError(f"a part has {len(points)} points, not {count}")
    return points[:count] if len(points) else np.full((count, 2), np.nan)


def _triples(values: Any) -> np.ndarray:
    """(K, 2) of a flat list of x, y, certainty; NaN where the certainty is 0."""
    triples = np.array(values or [], np.float64).reshape(-1, 3)  # (K, 3)
    if np.isinf(triples).any():
        raise ValueError("a coordinate is infinite")
    return np.where(triples[:, 2:] > 0, triples[:, :2], np.nan)
