"""Judges what a sprite-like clip shows and whether it stays consistent: motion, kind, colour and identity.

The judge knows the sprite world only, in colour and as line drawings; its own accuracy is `stated_accuracy`. Motions
and kinds that a prompt names are found by their words ("a drawing of a horse walking").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.media import from_frames, letterbox
from motionkit.metrics.judges import ClipNet, as_input, load_judge, weights_path
from motionkit.sprites.world import DOING

LEAST_FRAMES = 4  # fewer show too little of a cycle
_BATCH = 64  # frames at once, to bound memory


@dataclass(frozen=True)
class Verdict:
    """The judge's output for one clip: probabilities of each label, and the joints it saw.

    Attributes:
        motion, kind, colour: label -> probability, each sums to 1; one motion is "still", and motion is empty for
            clips of under 4 frames.
        joints: (F, 12, 2) pixels of the clip, in the order of `motionkit.sprites.BONES`.
    """

    motion: dict[str, float]
    kind: dict[str, float]
    colour: dict[str, float]
    joints: np.ndarray

    def best(self, group: str) -> str | None:
        """The most likely label of "motion", "kind" or "colour"; None where the judge has no answer."""
        said: dict[str, float] = getattr(self, group)
        return max(said, key=said.__getitem__) if said else None


def available() -> bool:
    """Whether the shipped weights are there."""
    return weights_path("clipscorer").is_file()


def stated_accuracy() -> dict[str, float]:
    """The judge's own figures on held-out characters, in colour, as lines, and degraded; state them with results."""
    return dict(load_judge("clipscorer")[1])


@torch.no_grad()
def judge(video: np.ndarray) -> Verdict:
    """Judge one clip.

    Args:
        video: (F, H, W, 3) uint8; it is padded to a square as results are.

    Raises:
        MissingWeights: the judge was not installed or trained.
        ValueError: not a video.
    """
    net, x, back = _read(video)
    small = F.avg_pool2d(x, 2)[None]  # (1, F, 3, 64, 64)
    motion, joints = net.moves(small)
    said = [net.looks(part)[0] for part in x.split(_BATCH)]
    mean = {g: torch.cat([part[g] for part in said]).softmax(-1).mean(0) for g in said[0]}
    if len(video) >= LEAST_FRAMES:
        mean["motion"] = motion[0].softmax(-1)
    named = {g: dict(zip(net.groups[g], mean[g].tolist(), strict=True)) for g in mean}
    at = (joints[0].numpy() + 1) / 2 * 127 * back.factor - np.array([back.left, back.top])  # (F, 12, 2)
    return Verdict(named.get("motion", {}), named["kind"], named["colour"], at)


@torch.no_grad()
def identity(video: np.ndarray) -> np.ndarray:
    """A unit vector (F, 64) of who is in each frame (F, H, W, 3) uint8, whatever the pose; errors as `judge`."""
    net, x, _ = _read(video)
    return torch.cat([net.looks(part)[1] for part in x.split(_BATCH)]).numpy()


def reference_consistency(video: np.ndarray, reference: np.ndarray, first: int = 1, last: int | None = None) -> float:
    """Mean cosine of the reference's identity with that of frames `first` to `last`; higher is better, [-1, 1].

    The frame made from the reference itself is left out by default, as it would flatter.

    Args:
        video: (F, H, W, 3) uint8, F > first.
        reference: (H, W, 3) uint8, the drawing or picture; `last` None is the end of the clip.

    Raises:
        ValueError: no frame is left; else as `judge`.
    """
    frames = video[first:last]
    if not len(frames):
        raise ValueError(f"no frame from {first} to {last} in a clip of {len(video)}")
    return float((identity(frames) @ identity(reference[None])[0]).mean())


def motion_agreement(video: np.ndarray, prompt: str) -> float | None:
    """Probability that the judge gives to the motion that the prompt names, [0, 1]; None when it names none it knows.

    Raises: as `judge`.
    """
    wanted = motion_in(prompt)
    if wanted is None or len(video) < LEAST_FRAMES:
        return None
    return judge(video).motion[wanted]


def kind_agreement(video: np.ndarray, prompt: str) -> float | None:
    """Probability that the judge gives to the kind that the prompt names, [0, 1]; None when it names none it knows."""
    verdict = judge(video)
    wanted = label_in(prompt, verdict.kind)
    return None if wanted is None else verdict.kind[wanted]


def joint_path(video: np.ndarray) -> float:
    """How far the joints that the judge sees travel from frame to frame, mean, in frame sides; 0 is frozen, [0, inf).

    Blind to flicker that leaves the posture alone, which `metrics.motion_amount` counts as motion.

    Raises:
        ValueError: fewer than two frames; else as `judge`.
    """
    if len(video) < 2:
        raise ValueError("needs at least two frames")
    steps = np.linalg.norm(np.diff(judge(video).joints, axis=0), axis=-1)  # (F-1, 12)
    return float(steps.mean() / max(video.shape[1:3]))


def motion_in(prompt: str) -> str | None:
    """The motion of the sprite world that a prompt names, in any of its forms ("walk", "walks", "walking")."""
    return _word_in(prompt, {name: (name, f"{name}s", f"{name}es", doing) for name, doing in DOING.items()})


def label_in(prompt: str, labels: Iterable[str]) -> str | None:
    """The first of some labels, such as kinds or colours, that a prompt names ("horse", "horses"); None for none."""
    return _word_in(prompt, {label: (label, f"{label}s") for label in labels})


def _word_in(prompt: str, forms: dict[str, tuple[str, ...]]) -> str | None:
    words = re.findall(r"[a-z]+", prompt.lower())
    return next((name for word in words for name, known in forms.items() if word in known), None)


@dataclass(frozen=True)
class _Square:
    """How to get from the judge's pixels back to the clip's."""

    factor: float
    left: int
    top: int


def _read(video: np.ndarray) -> tuple[ClipNet, Tensor, _Square]:
    """The judge, the clip as it sees it (F, 3, 128, 128) in [0, 1], and the way back."""
    if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8 or 0 in video.shape:
        raise ValueError(f"a video is (F, H, W, 3) uint8, got {video.dtype} {video.shape}")
    net, _ = load_judge("clipscorer")
    assert isinstance(net, ClipNet)
    left = top = 0
    if video.shape[1] != video.shape[2]:
        side = max(video.shape[1:3])
        square, box = letterbox(from_frames(video), side, side)
        video, left, top = square.frames, box.left, box.top
    x, factor = as_input(video)
    return net, x, _Square(factor, left, top)
