"""How steady a clip's content is and how it moves, after VBench (Huang et al. 2024, arXiv 2311.17982): plain functions.

They take features or a function that estimates flow, so that a figure is defined apart from the network that makes it
(`motionkit.metrics.by_vbench` names those). VBench looks at about 8 frames per second; here every frame counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motionkit.metrics.frames import as_float
from motionkit.metrics.temporal import look_up, motion_amount

# (N, H, W, 3) uint8 and as many targets -> flow (N, H, W, 2) in pixels, x first: picture(x) = target(x + flow(x)).
Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]

_SIDE, _FRAMES = 256, 16  # the size of frame and the length of clip that VBench's thresholds were chosen on
_FAST, _FAST_SHARE, _FAST_PAIRS = 6.0, 0.05, 4  # pixels; share of the fastest pixels; pairs that have to move
_SLOW, _SLOW_SHARE, _SLOW_PAIRS = 3.0, 0.02, 2


def feature_consistency(features: np.ndarray) -> float:
    """How alike the frames are to the first one and to the one before; higher is better, [0, 1], 1 is frozen.

    The mean over the frames after the first of (cos(first, frame) + cos(previous, frame)) / 2, each cosine at least 0:
    VBench's subject consistency on DINO's features and background consistency on CLIP's.

    Args:
        features: (F, E), one vector for each frame, F >= 2.

    Raises:
        ValueError: fewer than two vectors, or a vector of length 0.

    >>> feature_consistency(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))  # (0 + 0) / 2, then (0 + 1) / 2
    0.25
    """
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)  # (F, 1)
    if features.ndim != 2 or len(features) < 2 or not (lengths > 0).all():
        raise ValueError(f"needs two or more vectors (F, E) that are not zero, got shape {features.shape}")
    unit = features / lengths
    first, previous = unit[1:] @ unit[0], (unit[1:] * unit[:-1]).sum(-1)  # (F-1,) each
    return float((first.clip(min=0) + previous.clip(min=0)).mean() / 2)


def temporal_flicker(video: np.ndarray) -> float:
    """(255 - mean absolute difference of neighbouring frames) / 255; higher is better, [0, 1].

    It says something on clips that should stand still alone (`is_static`): motion lowers it as flicker does.

    Args:
        video: (F, H, W, 3), uint8 or floats in [0, 1], F >= 2.

    Raises:
        ValueError: not a video, or fewer than two frames.

    >>> blink = np.zeros((3, 4, 4, 3), np.uint8); blink[1] = 51  # every step changes by a fifth
    >>> round(temporal_flicker(blink), 6)
    0.8
    """
    return 1 - motion_amount(video)


def interpolation_smoothness(video: np.ndarray, flow: Flow) -> float:
    """How well every second frame is foretold by its two neighbours; higher is better, [0, 1].

    Frames 1, 3, ... are left out and put in again between their neighbours; the figure is (255 - mean absolute
    difference to the frames themselves) / 255. VBench interpolates by the network AMT-S. Here both neighbours are read
    half-way along the flow between them and averaged, so that occluded surfaces come out as a mix.

    Args:
        video: (F, H, W, 3), uint8 or floats in [0, 1], F >= 3.

    Raises:
        ValueError: not a video, or fewer than three frames.

    >>> still = lambda a, b: np.zeros((*a.shape[:3], 2))
    >>> jump = np.zeros((5, 4, 4, 3), np.uint8); jump[1] = 51  # of the two odd frames one is off by a fifth
    >>> round(interpolation_smoothness(jump, still), 6)
    0.9
    """
    frames = as_float(video)
    if len(frames) < 3:
        raise ValueError("needs at least three frames")
    kept = frames[::2]
    before, after = kept[:-1], kept[1:]
    one, two = _uint8(before), _uint8(after)
    there, back = flow(one, two), flow(two, one)  # (N, H, W, 2)
    missing = [
        (look_up(a, -f / 2)[0] + look_up(b, -g / 2)[0]) / 2
        for a, b, f, g in zip(before, after, there, back, strict=True)
    ]
    return float(1 - np.abs(np.stack(missing) - frames[1 : 2 * len(missing) : 2]).mean())


def is_dynamic(video: np.ndarray, flow: Flow) -> bool:
    """Whether a clip moves much, by VBench's rule; the share of such clips is its dynamic degree.

    A pair of neighbouring frames moves when the mean length of its 5 % longest flow vectors is over 6 pixels of a frame
    whose shorter side is 256 (at other sizes in proportion); the clip does when a quarter as many pairs move as it has
    frames. Clips of under 4 frames need one pair, where VBench calls all of them dynamic.

    Args:
        video: (F, H, W, 3) uint8, F >= 2.

    Raises:
        ValueError: fewer than two frames.

    >>> diagonal = lambda a, b: np.broadcast_to([3.0, 4.0], (*a.shape[:3], 2))  # 5 pixels
    >>> [is_dynamic(np.zeros((4, side, side, 3), np.uint8), diagonal) for side in (256, 128)]  # over 6? over 3?
    [False, True]
    """
    _two(video)
    moved = strongest(flow(video[:-1], video[1:]), _FAST_SHARE) > _FAST * _scale(video)  # (F-1,)
    return bool(moved.sum() >= _pairs(video, _FAST_PAIRS))


def is_static(video: np.ndarray, flow: Flow) -> bool:
    """Whether a clip stands still, by the filter that VBench puts before its temporal flickering.

    As `is_dynamic` with the 2 % longest vectors, 3 pixels, and no more than an eighth as many pairs as frames; and from
    the first frame to the last, and back, no more than 2 x 3 pixels for each of those pairs.

    Args and Raises: as `is_dynamic`.

    >>> still = lambda a, b: np.zeros((*a.shape[:3], 2))
    >>> is_static(np.zeros((8, 32, 32, 3), np.uint8), still)
    True
    """
    _two(video)
    ends = video[[0, -1]]
    one, two = np.concatenate([video[:-1], ends]), np.concatenate([video[1:], ends[::-1]])
    moved = strongest(flow(one, two), _SLOW_SHARE)  # (F+1,)
    least, pairs = _SLOW * _scale(video), _pairs(video, _SLOW_PAIRS)
    return bool((moved[:-2] > least).sum() <= pairs and (moved[-2:] <= 2 * least * pairs).all())


def strongest(flow: np.ndarray, share: float) -> np.ndarray:
    """(N,) pixels: the mean length of the longest vectors of each flow (N, H, W, 2), a `share` of them all.

    >>> one = np.zeros((1, 4, 5, 2)); one[0, 0, 0] = 3, 4  # one of 20 vectors
    >>> strongest(one, 0.05)
    array([5.])
    """
    lengths = np.sort(np.linalg.norm(flow, axis=-1).reshape(len(flow), -1), axis=1)  # (N, H*W)
    return lengths[:, -max(1, int(lengths.shape[1] * share)) :].mean(1)


def _scale(video: np.ndarray) -> float:
    return min(video.shape[1:3]) / _SIDE


def _pairs(video: np.ndarray, of_sixteen: int) -> int:
    return max(1, round(of_sixteen * len(video) / _FRAMES))


def _two(video: np.ndarray) -> None:
    if len(video) < 2:
        raise ValueError("needs at least two frames")


def _uint8(frames: np.ndarray) -> np.ndarray:
    return np.rint(frames * 255).astype(np.uint8)
