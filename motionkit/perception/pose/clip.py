"""The poses of one person in a clip: joints as fractions of the picture, and which of them were seen.

Shape legend: F frames, P = 130 points = 18 body joints (OpenPose order), 2 feet (left, right), 2 x 21 points of the
left and the right hand, 68 points of the face.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

JOINTS = (
    "nose",
    "neck",
    "right shoulder",
    "right elbow",
    "right wrist",
    "left shoulder",
    "left elbow",
    "left wrist",
    "right hip",
    "right knee",
    "right ankle",
    "left hip",
    "left knee",
    "left ankle",
    "right eye",
    "left eye",
    "right ear",
    "left ear",
)
BODY, FEET, LEFT_HAND, RIGHT_HAND, FACE = (slice(0, 18), slice(18, 20), slice(20, 41), slice(41, 62), slice(62, 130))
HANDS, POINTS = slice(20, 62), 130
UNSEEN = -1.0  # both coordinates of a point that was not seen, as Animate-X feeds them to its pose encoder


@dataclass(frozen=True)
class PoseClip:
    """One person's poses.

    Attributes:
        xy: (F, 130, 2) float64, fractions of width and height; (-1, -1) where not seen, except after a compat
            alignment, which moves those too.
        seen: (F, 130) bool.
        size: (height, width) of the pictures, pixels, > 0.
        fps: frames a second, 0 when unknown.
        notes: what a reader or a person should know, a line each.

    Raises:
        ValueError: shapes do not fit together, or a seen point is not finite.
    """

    xy: np.ndarray
    seen: np.ndarray
    size: tuple[int, int]
    fps: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.xy.ndim != 3 or self.xy.shape[1:] != (POINTS, 2) or self.seen.shape != self.xy.shape[:2]:
            raise ValueError(f"xy must be (F, {POINTS}, 2) and seen (F, {POINTS})")
        if min(self.size) < 1 or not np.isfinite(self.xy[self.seen]).all():
            raise ValueError("size must be positive and seen points finite")

    @classmethod
    def of(
        cls,
        points: np.ndarray,
        size: tuple[int, int],
        feet: np.ndarray | None = None,
        hands: np.ndarray | None = None,
        faces: np.ndarray | None = None,
        fps: float = 0.0,
        notes: tuple[str, ...] = (),
    ) -> PoseClip:
        """From parts in fractions of the picture; NaN or (-1, -1) is not seen, and so is a part left out.

        Args:
            points: (F, 18, 2).
            size: (height, width).
            feet: (F, 2, 2).
            hands: (F, 2, 21, 2), left first.
            faces: (F, 68, 2).

        Raises:
            ValueError: a part has another shape.
        """
        frames = len(points)
        xy = np.full((frames, POINTS, 2), np.nan)
        for part, value, shape in (
            (BODY, points, (18, 2)),
            (FEET, feet, (2, 2)),
            (HANDS, hands, (2, 21, 2)),
            (FACE, faces, (68, 2)),
        ):
            if value is not None:
                if value.shape != (frames, *shape):
                    raise ValueError(f"a part has shape {value.shape}, not {(frames, *shape)}")
                xy[:, part] = np.asarray(value, np.float64).reshape(frames, -1, 2)  # (F, p, 2)
        seen = np.isfinite(xy).all(-1) & ~(xy == UNSEEN).all(-1)
        xy[~seen] = UNSEEN
        return cls(xy, seen, size, fps, notes)

    def __len__(self) -> int:
        return len(self.xy)

    def _part(self, part: slice) -> np.ndarray:
        return np.where(self.seen[:, part, None], self.xy[:, part], np.nan)

    @property
    def points(self) -> np.ndarray:
        """Body joints (F, 18, 2), NaN where not seen."""
        return self._part(BODY)

    @property
    def feet(self) -> np.ndarray:
        """Left and right foot (F, 2, 2), NaN where not seen."""
        return self._part(FEET)

    @property
    def hands(self) -> np.ndarray:
        """Left and right hand (F, 2, 21, 2), NaN where not seen."""
        return self._part(HANDS).reshape(len(self), 2, 21, 2)  # (F, 2, 21, 2)

    @property
    def faces(self) -> np.ndarray:
        """Face points (F, 68, 2), NaN where not seen."""
        return self._part(FACE)

    def keypoints(self) -> np.ndarray:
        """What the implicit pose indicator reads: (F, 2, 18) float32, x then y, -1 where not seen."""
        body = np.where(self.seen[:, BODY, None], self.xy[:, BODY], UNSEEN)
        return np.ascontiguousarray(body.transpose(0, 2, 1), np.float32)  # (F, 2, 18)

    def pixels(self) -> np.ndarray:
        """All points (F, 130, 2) in pixels of the picture, NaN where not seen."""
        height, width = self.size
        return np.where(self.seen[..., None], self.xy * [width, height], np.nan)

    def frames(self, which: np.ndarray | list[int] | slice) -> PoseClip:
        """Some of the frames."""
        return replace(self, xy=self.xy[which], seen=self.seen[which])

    def with_points(
        self, xy: np.ndarray, seen: np.ndarray | None = None, size: tuple[int, int] | None = None
    ) -> PoseClip:
        """The same clip with other points; those not seen are (-1, -1)."""
        seen = self.seen if seen is None else seen
        return replace(self, xy=np.where(seen[..., None], xy, UNSEEN), seen=seen, size=size or self.size)

    @property
    def empty(self) -> np.ndarray:
        """Frames (F,) bool in which no body joint was seen."""
        return np.logical_not(self.seen[:, BODY].any(1))

    def filled(self) -> PoseClip:
        """Frames without any joint, between frames with some, get joints in between, point by point."""
        there = np.flatnonzero(~self.empty)
        xy, seen = self.xy.copy(), self.seen.copy()
        for f in np.flatnonzero(self.empty):
            after = np.searchsorted(there, f)
            if 0 < after < len(there):
                a, b = there[after - 1], there[after]
                both, share = self.seen[a] & self.seen[b], (f - a) / (b - a)
                xy[f, both] = (1 - share) * self.xy[a, both] + share * self.xy[b, both]
                seen[f] = both
        return self.with_points(xy, seen)
