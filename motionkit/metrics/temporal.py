"""How a video behaves in time: how much moves, and how constant surfaces look while they move."""

from __future__ import annotations

import cv2
import numpy as np

from motionkit.metrics.frames import as_float, pair

_OCCLUDED = 1.0  # pixels; forward and backward flow disagree by more where something is covered or uncovered


def motion_ratio(video: np.ndarray, truth: np.ndarray) -> float:
    """Frame-to-frame change of a video over that of another one; best at 1, range [0, inf).

    0 is a frozen video, below 1 moves less than the truth, above 1 moves more or flickers. Needs no optical flow.
    Two frozen videos have ratio 1.

    Args:
        video, truth: (F, H, W, 3) with the same number of frames; the sizes may differ.

    Raises:
        ValueError: fewer than two frames, or different numbers of frames.

    >>> ramp = np.zeros((3, 4, 4, 3)); ramp[1] = 0.1; ramp[2] = 0.2
    >>> round(motion_ratio(ramp / 2, ramp), 6)
    0.5
    """
    first, second = as_float(video), as_float(truth)
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"needs two videos of the same number of frames, at least 2: {len(first)} and {len(second)}")
    moved, should = (float(np.abs(np.diff(v, axis=0)).mean()) for v in (first, second))
    if should == 0:
        return 1.0 if moved == 0 else float("inf")
    return moved / should


def motion_amount(video: np.ndarray) -> float:
    """Mean absolute difference between neighbouring frames: how much changes; range [0, 1], 0 is frozen.

    Flicker counts as well; no value is best by itself.

    Args:
        video: (F, H, W, 3), F >= 2.

    Raises:
        ValueError: not a video, or fewer than two frames.

    >>> step = np.zeros((3, 4, 4, 3)); step[1:] = 0.5  # one change of 0.5 in two steps
    >>> motion_amount(step)
    0.25
    """
    frames = as_float(video)
    if len(frames) < 2:
        raise ValueError("needs at least two frames")
    return float(np.abs(np.diff(frames, axis=0)).mean())


def motion_error(video: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference between the two videos' frame-to-frame changes; lower is better, range [0, 2].

    Blind to a constant difference in appearance; sees motion that is missing, wrong or early. Motion at the wrong place
    costs twice, where it is and where it should be, so a frozen video can score well: not for a ranking by itself.

    Args:
        video, truth: (F, H, W, 3) of one shape, F >= 2.

    Raises:
        ValueError: not two videos of one shape, or fewer than two frames.

    >>> ramp = np.zeros((2, 4, 4, 3)); ramp[1] = 0.5
    >>> motion_error(np.zeros_like(ramp), ramp)
    0.5
    """
    first, second = pair(video, truth)
    if len(first) < 2:
        raise ValueError("needs at least two frames")
    return float(np.abs(np.diff(first, axis=0) - np.diff(second, axis=0)).mean())


def warping_error(video: np.ndarray, flow: np.ndarray | None = None) -> float:
    """Mean absolute change of a surface as it moves (after Lai et al. 2018, sec. 4.2); lower is better, range [0, 1].

    Each frame is compared with the next one looked up along the optical flow, leaving out pixels that leave the frame
    or whose forward and backward flow disagree by over a pixel. A frozen video has 0, so read it beside `motion_ratio`.

    Args:
        video: (F, H, W, 3), F >= 2.
        flow: (F - 1, H, W, 2) pixels (x first) from each frame to the next, when it is known; then no check for
            occlusion is made. None estimates it on the video itself (DIS optical flow, on grey), or takes it as zero in
            frames with a side below 16 pixels, where there is too little to match.

    Raises:
        ValueError: fewer than two frames, or a flow of another shape.

    >>> still = np.full((3, 16, 16, 3), 0.5)
    >>> warping_error(still)
    0.0
    >>> step = np.zeros((2, 16, 16, 3)); step[1] = 0.25
    >>> warping_error(step, np.zeros((1, 16, 16, 2)))
    0.25
    """
    frames = as_float(video)
    if len(frames) < 2:
        raise ValueError("needs at least two frames")
    shape = (len(frames) - 1, *frames.shape[1:3], 2)
    if flow is not None and flow.shape != shape:
        raise ValueError(f"the flow must be of shape {shape}, got {flow.shape}")
    total, pixels = 0.0, 0
    for index, (now, after) in enumerate(zip(frames, frames[1:], strict=False)):
        forward, valid = _flow(now, after) if flow is None else (flow[index], np.ones(shape[1:3], bool))
        seen, inside = look_up(after, forward)
        keep = valid & inside
        total += float(np.abs(seen - now).mean(axis=-1)[keep].sum())
        pixels += int(keep.sum())
    return total / pixels if pixels else 1.0


def _flow(now: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimated flow (H, W, 2) from `now` to `after`, and where going there and back returns to the start."""
    one, two = (cv2.cvtColor(np.rint(f * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for f in (now, after))
    if min(one.shape) < 16 or (one == two).all():
        return np.zeros((*one.shape, 2)), np.ones(one.shape, bool)
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forward = estimator.calc(one, two, None).astype(np.float64)  # type: ignore[call-overload]
    backward = estimator.calc(two, one, None).astype(np.float64)  # type: ignore[call-overload]
    back, _ = look_up(backward, forward)
    return forward, np.linalg.norm(forward + back, axis=-1) <= _OCCLUDED


def look_up(field: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`field` (H, W, C) read at each pixel's own place plus `flow`, and where that place lies inside."""
    height, width = flow.shape[:2]
    x = np.arange(width) + flow[..., 0]
    y = np.arange(height)[:, None] + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    seen = cv2.remap(
        field, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return seen, inside
