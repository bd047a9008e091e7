"""How near a video is to the known true one, frame by frame: PSNR (also on the subject alone), SSIM, L1."""

from __future__ import annotations

import numpy as np

from motionkit.metrics.frames import as_float, as_mask, pair

PSNR_CAP = 100.0  # dB; what identical frames count as, so that one of them does not make a mean infinite
_SSIM_WINDOW = 11
_CHUNK = 16  # frames at once, to bound memory


def psnr(video: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, mean over frames; higher is better, range (0, 100].

    Each frame counts at most `PSNR_CAP` = 100 dB: identical frames are 100, never infinite.

    Args:
        video, truth: (F, H, W, 3), uint8 or floats in [0, 1].

    Raises:
        ValueError: not two videos of one shape.

    >>> black, grey = np.zeros((2, 8, 8, 3)), np.full((2, 8, 8, 3), 0.1)
    >>> round(psnr(black, grey), 4)  # the squared error is 0.01, so 10 log10(1 / 0.01)
    20.0
    >>> psnr(grey, grey)
    100.0
    """
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio

    first, second = (torch.from_numpy(v) for v in pair(video, truth))
    frames = peak_signal_noise_ratio(first, second, data_range=1.0, reduction="none", dim=(1, 2, 3))  # (F,)
    return float(frames.clamp(max=PSNR_CAP).mean())


def masked_psnr(video: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """`psnr` over the masked pixels only; frames whose mask is empty do not count. Range (0, 100], higher is better.

    Args:
        video, truth: (F, H, W, 3), uint8 or floats in [0, 1].
        mask: (F, H, W) boolean, true where it counts.

    Raises:
        ValueError: shapes differ, or the mask is empty in every frame.

    >>> truth, video = np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 3))
    >>> video[0, 0, 0] = 0.1
    >>> mask = np.zeros((1, 2, 2), bool); mask[0, 0, 0] = True
    >>> round(masked_psnr(video, truth, mask), 6)
    20.0
    """
    first, second = pair(video, truth)
    mask = as_mask(mask, first.shape)
    counts = mask.sum(axis=(1, 2))  # (F,)
    if not counts.any():
        raise ValueError("the mask is empty in every frame")
    squared = ((first - second) ** 2).mean(axis=-1)  # (F, H, W)
    errors = (squared * mask).sum(axis=(1, 2))[counts > 0] / counts[counts > 0]
    floor = 10 ** (-PSNR_CAP / 10)
    return float((-10 * np.log10(np.maximum(errors, floor))).mean())


def ssim(video: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004), mean over frames; higher is better, range [-1, 1], 1 when identical.

    Gaussian window of 11 pixels, sigma 1.5, on the three colour channels.

    Args:
        video, truth: (F, H, W, 3), uint8 or floats in [0, 1].

    Raises:
        ValueError: not two videos of one shape, or a side below 11 pixels.

    >>> flat, other = np.full((1, 16, 16, 3), 0.25), np.full((1, 16, 16, 3), 0.75)
    >>> round(ssim(flat, other), 4)  # flat frames: (2 * 0.25 * 0.75 + c) / (0.25 ** 2 + 0.75 ** 2 + c), c = 0.0001
    0.6001
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = pair(video, truth)
    if min(first.shape[1:3]) < _SSIM_WINDOW:
        raise ValueError(f"SSIM needs frames of at least {_SSIM_WINDOW} pixels a side, got {first.shape[1:3]}")
    values = []
    for start in range(0, len(first), _CHUNK):
        one, two = (
            torch.from_numpy(v[start : start + _CHUNK]).permute(0, 3, 1, 2).contiguous() for v in (first, second)
        )  # (n, 3, H, W)
        chunk = structural_similarity_index_measure(one, two, data_range=1.0, reduction="none")
        values.append(torch.as_tensor(chunk).reshape(-1))  # (n,); a chunk of one frame comes as a scalar
    return float(torch.cat(values).mean())


def l1(video: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of all values; lower is better, range [0, 1].

    Args:
        video, truth: (F, H, W, 3), uint8 or floats in [0, 1].

    Raises:
        ValueError: not two videos of one shape.

    >>> l1(np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8))
    1.0
    >>> l1(np.zeros((1, 2, 2, 3)), np.full((1, 2, 2, 3), 0.25))
    0.25
    """
    first, second = pair(video, truth)
    return float(np.abs(first - second).mean())


def subject_mask(truth: np.ndarray, threshold: float = 0.1) -> np.ndarray:
    """(F, H, W) boolean: where the true video differs from its border colour, that is, where the subject is.

    Args:
        truth: (F, H, W, 3) of a subject before a plain background.
        threshold: how far, in any channel, as a fraction of the full range.

    >>> truth = np.ones((1, 5, 5, 3)); truth[0, 2, 2] = 0
    >>> int(subject_mask(truth).sum())
    1
    """
    video = as_float(truth)
    rows, columns = video[:, [0, -1]].reshape(-1, 3), video[:, :, [0, -1]].reshape(-1, 3)  # (n, 3) each
    border = np.median(np.concatenate([rows, columns]), axis=0)
    return np.abs(video - border).max(axis=-1) > threshold
