"""The explicit pose indicator: driving poses get other bodies in training, so that they need not fit when used.

Animate-X (arXiv 2410.10306), section 3.2 and appendix A; groups of operations as its ablation (table 5) names them.
The authors published neither code nor ranges: factors, probabilities and what "add" and "drop" do are this project's.
A changed pose is changed for both indicators here, as picture and as keypoints; the paper says it of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from motionkit.errors import UserError, unknown
from motionkit.methods.animatex import rescale
from motionkit.perception.pose import PoseClip
from motionkit.perception.pose.align import align
from motionkit.perception.pose.clip import BODY, POINTS
from motionkit.settings.setting import setting

GROUPS: dict[str, tuple[str, ...]] = {
    "drop": ("drop",),
    "add": ("add",),
    "body_shoulder": ("body", "shoulders"),
    "neck_face": ("neck", "face"),
    "arm_leg": ("arms", "legs"),
}


@dataclass
class IndicatorSettings:
    """How poses are transformed."""

    probability: float = setting(
        "Share of clips whose poses are changed (lambda; over 0.98 in the paper, lower where reference and driving "
        "bodies match anyway).",
        0.98,
        low=0,
        high=1,
    )
    realign: bool = setting("Whether a clip is realigned to the body and position of a random pose of the pool.", True)
    rescale: bool = setting("Whether operations of the rescale pool are applied.", True)
    groups: tuple[str, ...] = setting(
        "Enabled groups of operations (the paper's ablation w/o BS leaves out body_shoulder).",
        tuple(GROUPS),
        choices=tuple(GROUPS),
    )
    each: float = setting("Probability of each operation.", 0.5, low=0, high=1)
    low: float = setting("Smallest factor of a length; factors are uniform between low and high.", 0.5, low=0, high=100)
    high: float = setting("Largest factor of a length.", 1.5, low=0, high=100)

    def check(self) -> None:
        """Raises: UserError for unknown groups and for numbers out of range."""
        for name in self.groups:
            if name not in GROUPS:
                raise unknown("group of pose operations", name, GROUPS)
        if not (0 <= self.probability <= 1 and 0 <= self.each <= 1):
            raise UserError("the pose indicator's probability and each must be between 0 and 1")
        if not 0 < self.low <= self.high:
            raise UserError(f"the pose indicator's factors need 0 < low <= high (got {self.low} and {self.high})")


@dataclass(frozen=True)
class Change:
    """What was changed: the anchor's number in the pool (None: not realigned), and (operation, factor or part) each."""

    anchor: int | None = None
    operations: tuple[tuple[str, float | str], ...] = field(default=())

    @property
    def nothing(self) -> bool:
        """Whether the poses are unchanged."""
        return self.anchor is None and not self.operations


class PosePool:
    """Single poses of training clips, from which anchors are drawn.

    Raises:
        UserError: no pose with at least `least` body joints.
    """

    def __init__(self, clips: Sequence[PoseClip], per_clip: int = 4, least: int = 6, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        poses: list[PoseClip] = []
        for clip in clips:
            usable = np.flatnonzero(clip.seen[:, BODY].sum(1) >= least)
            picked = rng.choice(usable, min(per_clip, len(usable)), replace=False) if len(usable) else usable
            poses += [clip.frames([int(f)]) for f in sorted(picked)]
        if not poses:
            raise UserError(
                f"no training clip shows {least} body joints: use other clips, the pose indicator needs anchor poses"
            )
        self.poses = poses

    def __len__(self) -> int:
        return len(self.poses)

    def arrays(self) -> dict[str, np.ndarray]:
        """The pool as plain arrays, to be kept in an npz or safetensors file: xy, seen, size."""
        return {
            "xy": np.concatenate([p.xy for p in self.poses]),  # (K, 130, 2)
            "seen": np.concatenate([p.seen for p in self.poses]),  # (K, 130)
            "size": np.array([p.size for p in self.poses]),  # (K, 2)
        }

    @classmethod
    def of_arrays(cls, xy: np.ndarray, seen: np.ndarray, size: np.ndarray) -> PosePool:
        """The pool that `arrays` describes. Raises: UserError for other shapes."""
        if xy.shape[1:] != (POINTS, 2) or seen.shape != xy.shape[:2] or size.shape != (len(xy), 2) or not len(xy):
            raise UserError("the pose pool's arrays do not match: create the pool again")
        pool = cls.__new__(cls)
        pool.poses = [
            PoseClip(xy[[i]].astype(np.float64), seen[[i]].astype(bool), (int(h), int(w)))
            for i, (h, w) in enumerate(size)
        ]
        return pool


def transform(
    clip: PoseClip, pool: PosePool, settings: IndicatorSettings, rng: np.random.Generator
) -> tuple[PoseClip, Change]:
    """The clip's motion on another body, the same on every frame.

    With probability λ: realigned to a random anchor (motionkit.perception.pose.align, safe), then each operation of the
    enabled groups with probability `each`. The same generator state gives the same result; so that ablations compare,
    each draws the same numbers whether or not a group is enabled.

    Raises:
        UserError: settings out of range.
    """
    settings.check()
    apply, pick = rng.random() < settings.probability, int(rng.integers(len(pool)))
    draws = {name: (rng.random() < settings.each, rng.random(), rng.random()) for name in rescale.ORDER}
    if not apply:
        return clip, Change()
    anchor, realigned = pool.poses[pick], None
    shared = (clip.seen[:, BODY] & anchor.seen[0, BODY]).sum(1).max()
    if settings.realign and shared >= 2:
        clip, realigned = align(clip, anchor, "safe")[0], pick
    done: list[tuple[str, float | str]] = []
    enabled = {name for group in settings.groups for name in GROUPS[group]} if settings.rescale else set()
    xy, seen = np.where(clip.seen[..., None], clip.xy, np.nan), clip.seen.copy()
    for name in rescale.ORDER:
        chosen, share, part = draws[name]
        if name not in enabled or not chosen:
            continue
        factor = settings.low + share * (settings.high - settings.low)
        if name == "drop":
            what: float | str | None = rescale.drop(seen, part)
        elif name == "add":
            what = rescale.add(xy, seen, anchor, part, clip.size)
        else:
            what = factor
            rescale.LENGTHS[name](xy, factor)
        if what is not None:
            done.append((name, what))
    return clip.with_points(xy, seen), Change(realigned, tuple(done))
