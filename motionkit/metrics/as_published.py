"""Metrics as a widely used evaluation script printed them, mistakes included, so that old tables can be explained.

DisCo (Wang et al. 2023, arXiv 2307.00040), tool/metrics of its first release, which later papers copied. Each function
says what differs from the metric whose name it bears. Use them under the protocol `disco-2023` only.
"""

from __future__ import annotations

import cv2
import numpy as np

_WINDOW, _CROP = 7, 3  # scikit-image's default window, and the border that it leaves out


def psnr_uint8wrap(video: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of differences that wrap around modulo 256, mean over frames; identical frames count 100.

    The difference and its square were taken on uint8: 16 counts as 256 = 0, so the squared error is far too small and
    the value flattens near 28 dB however bad a frame is. Papers that print "PSNR*" mean the mended one.

    Args:
        video, truth: (F, H, W, 3) uint8; frames of another size than the truth's are resized to it.

    Raises:
        ValueError: not two uint8 videos with the same number of frames.

    >>> black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 16, np.uint8)
    >>> psnr_uint8wrap(black, grey)  # 16 * 16 is 0 in eight bits
    100.0
    >>> round(psnr_uint8wrap(black, grey - 15), 4)  # 20 log10(255)
    48.1308
    """
    first, second = _pair(video, truth)
    values = []
    for one, two in zip(first, second, strict=True):
        error = float(np.mean((one - two) ** 2))  # uint8 arithmetic, on purpose
        values.append(100.0 if error == 0 else float(20 * np.log10(255 / np.sqrt(error))))
    return float(np.mean(values))


def l1_per_hw(video: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference in 0 to 255, divided once more by H * W: it shrinks with the resolution, hence 1e-4.

    Args:
        video, truth: as `psnr_uint8wrap`.

    >>> black, grey = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 16, np.uint8)
    >>> l1_per_hw(black, grey)
    4.0
    """
    first, second = _pair(video, truth)
    pixels = first.shape[1] * first.shape[2]
    return float(np.abs(first.astype(np.float64) - second).mean() / pixels)


def ssim_gray_resized(video: np.ndarray, truth: np.ndarray) -> float:
    """SSIM of grey pictures with a flat window of 7 pixels (scikit-image's defaults), mean over frames; [-1, 1].

    Differs from `metrics.ssim` (three colour channels, Gaussian window of 11): usually higher.

    Args:
        video, truth: as `psnr_uint8wrap`, with sides of at least 7 pixels.

    Raises:
        ValueError: as `psnr_uint8wrap`, or smaller frames.

    >>> flat, other = np.full((1, 8, 8, 3), 64, np.uint8), np.full((1, 8, 8, 3), 191, np.uint8)
    >>> round(ssim_gray_resized(flat, other), 4)  # (2 * 64 * 191 + c) / (64 ** 2 + 191 ** 2 + c), c = 2.55 ** 2
    0.6026
    """
    first, second = _pair(video, truth)
    if min(first.shape[1:3]) < _WINDOW:
        raise ValueError(f"this SSIM needs frames of at least {_WINDOW} pixels a side, got {first.shape[1:3]}")
    grey = [[cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float64) for f in v] for v in (first, second)]
    return float(np.mean([_ssim(one, two) for one, two in zip(*grey, strict=True)]))


def _ssim(one: np.ndarray, two: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13, with means over a 7 x 7 window and sample covariances."""
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    m1, m2, m11, m22, m12 = (cv2.blur(x, (_WINDOW, _WINDOW)) for x in (one, two, one * one, two * two, one * two))
    v1, v2, v12 = unbiased * (m11 - m1 * m1), unbiased * (m22 - m2 * m2), unbiased * (m12 - m1 * m2)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    value = (2 * m1 * m2 + c1) * (2 * v12 + c2) / ((m1 * m1 + m2 * m2 + c1) * (v1 + v2 + c2))
    return float(value[_CROP:-_CROP, _CROP:-_CROP].mean())


def _pair(video: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as uint8, the first one resized to the second one's size as the script did (OpenCV, bilinear)."""
    for clip in (video, truth):
        if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[-1] != 3 or 0 in clip.shape:
            raise ValueError(f"the published variants are of (F, H, W, 3) uint8, got {clip.dtype} {clip.shape}")
    if len(video) != len(truth):
        raise ValueError(f"videos differ in length: {len(video)} and {len(truth)} frames")
    if video.shape != truth.shape:
        height, width = truth.shape[1:3]
        video = np.stack([cv2.resize(frame, (width, height)) for frame in video])  # (F, H, W, 3)
    return video, truth
