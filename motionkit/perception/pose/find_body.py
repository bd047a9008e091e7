"""Finds the body in frames of any shape: tries several views of the picture, also turned, and uses the most certain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from motionkit.perception.pose.body_net import OPENPOSE, POINTS, SIZE, BodyNet
from motionkit.perception.turned import TURNS, angle, rotation, steadiest, turned

THERE = 0.5  # chance of a body below which a frame shows none
SURE = 0.35  # mean certainty of the points below which it shows none either: letters and shapes may look like a body
UPRIGHT = 0.1  # by how much more certain a turned view must be
LYING = 0.6  # certainty below which a turned view shows no body: turned letters look like one sooner than upright ones
LEAP = 0.2  # the certainty that a leap between the views of two frames costs
# Views to average over (test-time augmentation): turned by so many radians, of a square so much larger, and to the
# side by a share of it. Errors of the points in them are partly independent.
NEARBY = ((0.1, 1 / 0.95, 3 / 128), (-0.1, 1 / 1.06, -3 / 128))
_BATCH = 32


class Bodies(NamedTuple):
    """The body in each of F frames, pixels of those frames.

    Attributes:
        points: (F, 19, 2), in the order of `POINTS`.
        sure: (F, 19) chance that a point is right (within 6 pixels of a picture of 128).
        seen: (F, 19) chance that nothing hides it.
        there: (F,) chance of a body.
    """

    points: np.ndarray
    sure: np.ndarray
    seen: np.ndarray
    there: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """Whether each frame shows a body (F,), of which most points may be trusted."""
        return (self.there >= THERE) & (self.sure.mean(1) >= SURE)

    def openpose(self) -> np.ndarray:
        """OpenPose joints (F, 18, 2) pixels; NaN in frames without a body."""
        out = self.points[:, [POINTS.index(OPENPOSE[j]) for j in range(18)]].copy()
        out[~self.found] = np.nan
        return out


def find(frames: np.ndarray, net: BodyNet) -> Bodies:
    """The body in frames (F, H, W, 3) uint8 of any shape.

    The whole picture is tried first, and squares of its shorter side along the longer one; then the square around the
    body in the best of these views, which is used where the network is more certain of it. The square is turned for the
    frames in which the network is more certain of a turned body. At last points are averaged over views nearby.
    """
    high, wide = frames.shape[1:3]
    side = min(high, wide)
    views = [(-(max(high, wide) - wide) // 2, -(max(high, wide) - high) // 2, max(high, wide))]
    for step in np.linspace(0, max(high, wide) - side, 5 if high != wide else 0).round().astype(int):
        views.append((int(step), 0, side) if wide > high else (0, int(step), side))
    tried = [(_look(frames, net, view), view) for view in views]
    closer = _around(max(tried, key=_worth)[0], frames.shape[1:3])
    if closer is not None:
        tried.append((_look(frames, net, closer), closer))
    upright, view = max(tried, key=_worth)
    doubtful = np.flatnonzero(_certainty(upright) < 1 - UPRIGHT)  # of the others no turned view is more certain
    turns, best = np.zeros(len(frames), int), upright
    if len(doubtful):
        turned_views = [_look(frames[doubtful], net, view, angle(i)) for i in range(1, TURNS)]
        turns, best = _by_frame(upright, doubtful, turned_views)
    return _averaged(best, frames, net, view, turns)


def _worth(tried: tuple[Bodies, tuple[int, int, int]]) -> float:
    return float(_certainty(tried[0]).mean())


def _certainty(bodies: Bodies) -> np.ndarray:
    """How certain the network is of each frame's body (F,)."""
    return bodies.there * bodies.sure.mean(1)


def _by_frame(upright: Bodies, doubtful: np.ndarray, views: list[Bodies]) -> tuple[np.ndarray, Bodies]:
    """The most certain view of every frame (F,), the upright one preferred, with few leaps from frame to frame.

    The views are the turned ones, of the doubtful frames alone.
    """
    worth = np.zeros((TURNS, len(upright.there)))
    worth[0] = _certainty(upright) + UPRIGHT
    for row, view in zip(worth[1:], views, strict=True):
        certain = _certainty(view)
        row[doubtful] = np.where(certain < LYING, 0, certain)
    path, out = steadiest(worth, LEAP), Bodies(*(part.copy() for part in upright))
    for place, frame in enumerate(doubtful):
        if path[frame]:
            for part, given in zip(out, views[path[frame] - 1], strict=True):
                part[frame] = given[place]
    return np.array(path), out


def _averaged(
    bodies: Bodies, frames: np.ndarray, net: BodyNet, view: tuple[int, int, int], turns: np.ndarray
) -> Bodies:
    """The bodies with their points averaged over views a little aside, by their squared certainty."""
    x, y, side = view
    total, weight = bodies.points * bodies.sure[..., None] ** 2, bodies.sure[..., None] ** 2  # (F, 19, 2), (F, 19, 1)
    for tilt, larger, aside in NEARBY:
        wide = round(side * larger)
        near = (x + (side - wide) // 2 + round(side * aside), y + (side - wide) // 2, wide)
        for turn in np.unique(turns):
            which = np.flatnonzero(turns == turn)
            found = _look(frames[which], net, near, angle(int(turn)) + tilt)
            total[which] += found.points * found.sure[..., None] ** 2
            weight[which] += found.sure[..., None] ** 2
    return bodies._replace(points=total / np.maximum(weight, 1e-12))


def _around(bodies: Bodies, shape: tuple[int, int]) -> tuple[int, int, int] | None:
    """The square of which a body fills two thirds over the clip; None where it already does, or without a body."""
    points = bodies.points[bodies.there >= THERE].reshape(-1, 2)  # (n, 2)
    if not len(points):
        return None
    low, high = np.quantile(points, 0.01, axis=0), np.quantile(points, 0.99, axis=0)
    side, middle = int(np.ceil(1.6 * max((high - low).max(), 8))), (low + high) / 2
    corner = np.rint(middle - side / 2).astype(int)
    return None if 0.8 * max(shape) < side < 1.1 * max(shape) else (int(corner[0]), int(corner[1]), side)


@torch.no_grad()
def _look(frames: np.ndarray, net: BodyNet, view: tuple[int, int, int], turn: float = 0.0) -> Bodies:
    """The body in the square (x, y, side) of all frames, which is turned by `turn` radians to be looked at.

    What lies outside the picture repeats its border.
    """
    x, y, side = view
    high, wide = frames.shape[1:3]
    rows, columns = np.clip(np.arange(y, y + side), 0, high - 1), np.clip(np.arange(x, x + side), 0, wide - 1)
    parts = []
    for batch in np.array_split(frames, -(-len(frames) // _BATCH)):
        picture = torch.from_numpy(batch[:, rows][:, :, columns]).permute(0, 3, 1, 2).float() / 255  # (f, 3, s, s)
        if side != SIZE:
            picture = F.interpolate(picture, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        if turn:
            picture = turned(picture, turn)
        parts.append(net(picture))
    value, sure, seen, there, _ = (torch.cat(v) for v in zip(*parts, strict=True))
    value = value.double() @ rotation(turn).T if turn else value.double()  # (F, 19, 2)
    pixels = (value.numpy() + 1) / 2 * (SIZE - 1)  # of the picture of 128
    pixels = (pixels + 0.5) * side / SIZE - 0.5 + [x, y]
    return Bodies(pixels, *(v.sigmoid().numpy() for v in (sure, seen, there)))
