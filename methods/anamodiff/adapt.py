"""Adapts the driving keypoints to the source: relative motion, hull scale, choice of the start pose, smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .keypoints import Keypoints
from .sparse import inverse

SCALE_LIMIT = 3.0  # a larger ratio, either way, means a failed detection


def hull_area(points: np.ndarray) -> float:
    """Area of the convex hull of (K, 2) points; 0 for fewer than 3 distinct points or points on a line.

    >>> hull_area(np.array([[0, 0], [2, 0], [2, 1], [0, 1], [1, 0.5]]))
    2.0
    """
    ordered = sorted({(float(x), float(y)) for x, y in points})
    if len(ordered) < 3:
        return 0.0
    hull: list[tuple[float, float]] = []
    for line in (ordered, ordered[::-1]):  # Andrew's monotone chain: lower side, then upper side
        start = len(hull)
        for x, y in line:
            while len(hull) >= start + 2:
                (ax, ay), (bx, by) = hull[-2], hull[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                hull.pop()
            hull.append((x, y))
        hull.pop()
    x, y = np.array(hull).T  # (n,) each
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def size_ratio(source: Tensor, driving: Tensor, kind: str = "hull") -> Tensor:
    """How much larger the source is than the driving object, (2,) for x and y.

    Args:
        source, driving: (K, 2) points at rest.
        kind: "hull" (square root of the hull areas' ratio, AnaMoDiff section 3.3), "box" (width and height apart),
            "none".

    Returns:
        Factors within [1/3, 3]; 1 where an object has no extent to compare.
    """
    ours, theirs = (x.detach().cpu().double().numpy() for x in (source, driving))
    ratio = np.ones(2)
    if kind == "hull":
        a, b = hull_area(ours), hull_area(theirs)
        if min(a, b) > 1e-6:
            ratio[:] = np.sqrt(a / b)
    elif kind == "box":
        a, b = np.ptp(ours, axis=0), np.ptp(theirs, axis=0)
        usable = np.minimum(a, b) > 1e-3
        ratio[usable] = (a / np.maximum(b, 1e-12))[usable]
    elif kind != "none":
        raise ValueError(f"scale must be hull, box or none (got {kind!r})")
    return torch.as_tensor(ratio.clip(1 / SCALE_LIMIT, SCALE_LIMIT)).to(source)


def relative(
    driving: Keypoints,
    rest: Keypoints,
    source: Keypoints,
    scale: str = "hull",
    jacobians: bool = True,
    guard: bool = True,
) -> Keypoints:
    """p' = p_S + s (p_D - p_rest) and J' = J_D J_rest^-1 J_S (Siarohin et al. 2019, relative mode).

    Args:
        driving: T frames.
        rest: one frame, the driving object at rest: a frame of it, or its temporal mean.
        source: one frame, the source object at rest, likewise.
        scale: see `size_ratio`.
        jacobians: compose the local frames too; otherwise the driving ones stay as they are.
        guard: protect the inverse of J_rest, see `sparse.inverse`.
    """
    ratio = size_ratio(source.value[0], rest.value[0], scale)
    value = source.value + ratio * (driving.value - rest.value)
    frames = driving.jacobian
    if jacobians and frames is not None and rest.jacobian is not None and source.jacobian is not None:
        frames = frames @ inverse(rest.jacobian, guard).to(frames) @ source.jacobian
    return Keypoints(value, frames)


def smooth(keypoints: Keypoints, window: int) -> Keypoints:
    """Savitzky-Golay filter over time (a local quadratic); `window` frames wide, below 3 for none."""
    frames = len(keypoints)
    if window < 3 or frames < 3:
        return keypoints
    half = window // 2
    matrix = torch.zeros(frames, frames, dtype=torch.float64)
    for i in range(frames):
        low, high = max(0, i - half), min(frames, i + half + 1)
        offset = torch.arange(low, high, dtype=torch.float64) - i
        powers = torch.stack([offset**p for p in range(min(3, high - low))], 1)
        matrix[i, low:high] = torch.linalg.pinv(powers)[0]  # the fitted value at frame i
    return keypoints.map(lambda x: torch.tensordot(matrix.to(x), x, 1))


@dataclass(frozen=True)
class Start:
    """The best pair of frames to start from, whether the source is mirrored, and how far apart the poses are."""

    source: int
    driving: int
    mirrored: bool
    cost: float


def best_start(source: Tensor, driving: Tensor, mirrored: Tensor | None = None, only: int | None = None) -> Start:
    """Find the source frame and the driving frame whose poses agree best.

    Points are centred and divided by the root of their hull's area. When both clips have at least 4 frames, each
    object's temporal mean is taken away as well: otherwise body shape decides, not pose.

    Args:
        source: (S, K, 2) points of the source frames.
        driving: (T, K, 2) points of the driving frames.
        mirrored: (S, K, 2) points detected on the mirrored source, to be tried too.
        only: the one source frame that may be chosen.
    """
    remove = min(len(source), len(driving)) >= 4
    target = _pose(driving, remove)
    starts = []
    for flipped, points in ((False, source), (True, mirrored)):
        if points is None:
            continue
        distance = (_pose(points, remove)[:, None] - target[None]).square().sum((-1, -2))  # (S,T)
        if only is not None:
            distance[torch.arange(len(points)) != only] = torch.inf
        index = int(distance.argmin())
        starts.append(Start(index // len(driving), index % len(driving), flipped, float(distance.min())))
    return min(starts, key=lambda s: s.cost)


def _pose(points: Tensor, remove_mean: bool) -> Tensor:
    centred = points - points.mean(1, keepdim=True)
    areas = [hull_area(frame.detach().cpu().numpy()) for frame in centred]
    pose = centred / torch.tensor(areas).to(points).clamp_min(1e-6).sqrt()[:, None, None]
    return pose - pose.mean(0, keepdim=True) if remove_mean else pose
