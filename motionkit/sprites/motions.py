"""The motions: functions of phase that turn any character's bones, so that one motion drives every character.

A motion returns bone rotations (radians away from rest), hop height and whole-body turn. The same `Motion` object on
another character is the ground truth of a transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Angles = dict[str, np.ndarray | float]  # of each bone (F,), or one angle for all frames
TAU = 2 * np.pi


@dataclass(frozen=True)
class Motion:
    """One motion with its parameters.

    Attributes:
        name: one of `MOTIONS`.
        phase: start phase in cycles, [0, 1).
        speed: cycles per 10 frames (0.5 slow … 1.5 fast).
        amplitude: multiplies every rotation and hop (0.5 … 1.3).
        start_pose: constant rotation added to bones, radians.
    """

    name: str
    phase: float = 0.0
    speed: float = 1.0
    amplitude: float = 1.0
    start_pose: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in MOTIONS:
            raise ValueError(f"unknown motion {self.name!r}; known: {', '.join(MOTIONS)}")

    def angles(self, template: str, frames: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Bone rotations, hop (F,) in body heights, whole-body turn (F,) radians, for `frames` frames."""
        p = TAU * (self.phase + self.speed * np.arange(frames) / 10.0)
        bones, extra = MOTIONS[self.name](p, template == "quadruped")
        out = {b: self.amplitude * (np.zeros(frames) + v) for b, v in bones.items()}
        for bone, offset in self.start_pose.items():
            out[bone] = out.get(bone, np.zeros(frames)) + offset
        hop = self.amplitude * (np.zeros(frames) + extra.get("hop", 0.0))
        # A spin is a whole turn whatever its amplitude: half a turn would not be a cycle.
        turn = np.zeros(frames) + extra.get("turn", 0.0)
        return out, hop, turn


def _swing_legs(p: np.ndarray, reach: float, knee: float) -> Angles:
    up = 0.5 + 0.5 * np.cos(p)
    return {
        "leg_near": reach * np.sin(p),
        "shin_near": -knee * up,
        "leg_far": -reach * np.sin(p),
        "shin_far": -knee * (1 - up),
    }


def _walk(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    a = _swing_legs(p, 0.5, 0.6)
    if quad:  # diagonal gait: each front leg moves with the opposite hind leg
        a |= {"arm_near": a["leg_far"], "forearm_near": a["shin_far"] * 0.8}
        a |= {"arm_far": a["leg_near"], "forearm_far": a["shin_near"] * 0.8}
    else:
        a |= {"arm_near": -0.6 * np.sin(p), "arm_far": 0.6 * np.sin(p), "forearm_near": 0.25, "forearm_far": 0.25}
    return a | {"head": 0.08 * np.sin(2 * p), "tail": 0.35 * np.sin(p)}, {}


def _run(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    if quad:  # gallop: front pair against hind pair
        front, hind = 0.75 * np.sin(p), -0.75 * np.sin(p)
        a: Angles = {"arm_near": front, "leg_near": hind}
        a |= {"arm_far": 0.75 * np.sin(p - 0.5), "leg_far": -0.75 * np.sin(p - 0.5)}
        flex = 0.5 + 0.5 * np.cos(p)
        a |= {"forearm_near": -0.7 * flex, "forearm_far": -0.7 * flex, "shin_near": -0.8 * (1 - flex)}
        a |= {"shin_far": -0.8 * (1 - flex), "torso": 0.12 * np.sin(p), "neck": -0.1 * np.sin(p)}
    else:
        a = _swing_legs(p, 0.85, 1.1)
        a |= {"arm_near": -0.95 * np.sin(p), "arm_far": 0.95 * np.sin(p), "forearm_near": 1.0, "forearm_far": 1.0}
        a |= {"torso": -0.15}
    return a | {"tail": 0.5 * np.sin(p)}, {"hop": 0.08 * np.abs(np.sin(p))}


def _jump(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    air, crouch = np.maximum(0, np.sin(p)), np.maximum(0, -np.sin(p))
    a: Angles = {}
    for side in ("near", "far"):
        a |= {f"leg_{side}": 0.8 * crouch - 0.35 * air, f"shin_{side}": -1.5 * crouch - 0.3 * air}
        if quad:
            a |= {f"arm_{side}": 0.7 * crouch + 0.6 * air, f"forearm_{side}": -1.4 * crouch - 0.5 * air}
        else:
            a |= {f"arm_{side}": 2.3 * air - 0.5 * crouch, f"forearm_{side}": 0.3}
    return a | {"tail": -0.6 * air, "head": -0.15 * crouch}, {"hop": 0.24 * air}


def _dance(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    s, lift_n, lift_f = np.sin(p), np.maximum(0, np.sin(p)), np.maximum(0, -np.sin(p))
    a: Angles = {"torso": 0.14 * s, "head": -0.25 * s, "tail": 0.7 * np.sin(2 * p)}
    a |= {"leg_near": 0.7 * lift_n, "shin_near": -1.2 * lift_n, "leg_far": 0.7 * lift_f, "shin_far": -1.2 * lift_f}
    if quad:
        a |= {
            "arm_near": 0.9 * lift_f,
            "forearm_near": -1.3 * lift_f,
            "arm_far": 0.9 * lift_n,
            "forearm_far": -1.3 * lift_n,
        }
    else:
        a |= {
            "arm_near": 1.3 + 0.9 * s,
            "arm_far": 1.3 - 0.9 * s,
            "forearm_near": 0.7 + 0.4 * s,
            "forearm_far": 0.7 - 0.4 * s,
        }
    return a, {"hop": 0.05 * np.abs(s)}


def _wave(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    if quad:
        a: Angles = {"arm_near": 1.25 + 0.15 * np.sin(p), "forearm_near": -0.3 + 0.8 * np.sin(p), "torso": 0.08}
    else:
        a = {
            "arm_near": 2.2 + 0.25 * np.sin(p),
            "forearm_near": 0.4 + 0.7 * np.sin(p),
            "arm_far": -0.15,
            "forearm_far": 0.2,
        }
    return a | {"head": 0.12 * np.sin(p), "tail": 0.5 * np.sin(p)}, {}


def _sit(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    q = 0.5 - 0.5 * np.cos(p)
    if quad:  # the hind quarters go down, the front legs stay straight
        a: Angles = {"torso": 0.5 * q, "neck": -0.3 * q, "head": -0.15 * q, "tail": 0.4 * q}
        a |= {f"leg_{s}": 1.15 * q for s in ("near", "far")} | {f"shin_{s}": -1.6 * q for s in ("near", "far")}
    else:
        a = {
            "torso": -0.1 * q,
            "arm_near": 0.7 * q,
            "arm_far": 0.7 * q,
            "forearm_near": 0.4 * q,
            "forearm_far": 0.4 * q,
        }
        a |= {f"leg_{s}": 1.4 * q for s in ("near", "far")} | {f"shin_{s}": -1.4 * q for s in ("near", "far")}
    return a, {}


def _kick(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    out, back = np.maximum(0, np.sin(p)) ** 1.5, np.maximum(0, -np.sin(p))
    sign = -1.0 if quad else 1.0  # a quadruped kicks backwards
    a: Angles = {"leg_near": sign * 1.4 * out - sign * 0.4 * back}
    a |= {"shin_near": -0.9 * back - (0.2 * out if not quad else 0)}
    if quad:
        a |= {"leg_far": -1.1 * out, "torso": -0.25 * out, "neck": 0.2 * out}
    else:
        a |= {"arm_far": 0.9 * out, "arm_near": -0.7 * out, "torso": 0.15 * out}
    return a | {"tail": 0.4 * out}, {}


def _bow(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    q = 0.5 - 0.5 * np.cos(p)
    if quad:
        a: Angles = {"torso": -0.38 * q, "neck": -0.4 * q, "head": -0.1 * q, "tail": 0.6 * q}
        a |= {f"arm_{s}": 1.1 * q for s in ("near", "far")} | {f"forearm_{s}": -0.9 * q for s in ("near", "far")}
    else:
        a = {"torso": -1.0 * q, "head": -0.3 * q, "arm_near": -0.6 * q, "arm_far": 0.5 * q}
    return a, {}


def _flutter(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    s = np.sin(p)
    if quad:
        a: Angles = {
            f"{limb}_{side}": sign * (0.35 + 0.5 * s)
            for limb, sign in (("arm", 1), ("leg", -1))
            for side in ("near", "far")
        }
        a |= {"torso": 0.1 * s}
    else:
        a = {f"arm_{side}": 1.3 + 1.0 * s for side in ("near", "far")}
        a |= {f"forearm_{side}": 0.35 * np.cos(p) for side in ("near", "far")}
        a |= {f"leg_{side}": -0.25 + 0.15 * s for side in ("near", "far")}
    return a | {"tail": 0.4 * s}, {"hop": 0.1 - 0.07 * s}


def _nod(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    a: Angles = {"neck": 0.35 * np.sin(p), "head": 0.35 * np.sin(p - 0.6), "tail": 0.6 * np.sin(2 * p)}
    if not quad:
        a |= {"torso": 0.1 * np.sin(p), "arm_near": 0.35 * np.sin(p), "arm_far": 0.35 * np.sin(p)}
    return a, {}


def _spin(p: np.ndarray, quad: bool) -> tuple[Angles, Angles]:
    spread = 0.35
    a: Angles = {"arm_near": spread, "arm_far": -spread, "leg_near": spread, "leg_far": -spread}
    return a, {"turn": -p, "hop": 0.1}


MOTIONS: dict[str, Callable[[np.ndarray, bool], tuple[Angles, Angles]]] = {
    "walk": _walk,
    "run": _run,
    "jump": _jump,
    "dance": _dance,
    "wave": _wave,
    "sit": _sit,
    "kick": _kick,
    "bow": _bow,
    "flutter": _flutter,
    "nod": _nod,
    "spin": _spin,
}
HELD_OUT_MOTIONS = ("kick", "spin")
TRAIN_MOTIONS = tuple(m for m in MOTIONS if m not in HELD_OUT_MOTIONS)
