"""The published variants differ from the metrics whose names they bear, in the way that is known."""

import cv2
import numpy as np
import pytest

from motionkit import metrics
from motionkit.metrics.as_published import l1_per_hw, psnr_uint8wrap, ssim_gray_resized


def noisy(sigma, side=128):
    """A random picture and the same with noise, as in the notes on the wrap-around."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (1, side, side, 3), np.uint8)
    return np.clip(truth + rng.normal(0, sigma, truth.shape), 0, 255).round().astype(np.uint8), truth


@pytest.mark.parametrize(("sigma", "true", "wrapped"), [(2, 42, 42), (8, 30, 31), (20, 22.5, 29), (60, 13.8, 28)])
def test_the_wrapped_psnr_flattens_near_28_db(sigma, true, wrapped):
    video, truth = noisy(sigma)
    assert metrics.psnr(video, truth) == pytest.approx(true, abs=0.7)
    assert psnr_uint8wrap(video, truth) == pytest.approx(wrapped, abs=0.7)


def test_the_wrapped_psnr_is_psnr_for_small_differences():
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    video = truth + np.uint8(15)  # 225 still fits into eight bits; above the truth, so nothing wraps
    assert psnr_uint8wrap(video, truth) == pytest.approx(metrics.psnr(video, truth))
    assert psnr_uint8wrap(truth, truth) == 100


def test_the_published_l1_shrinks_with_the_size():
    video, truth = noisy(20, 64)
    twice = [np.tile(v, (1, 2, 2, 1)) for v in (video, truth)]
    assert l1_per_hw(video, truth) == pytest.approx(metrics.l1(video, truth) * 255 / 64**2)
    assert l1_per_hw(*twice) == pytest.approx(l1_per_hw(video, truth) / 4)


def test_the_published_ssim_is_the_formula_of_scikit_image():
    video, truth = noisy(30, 24)
    one, two = (cv2.cvtColor(v[0], cv2.COLOR_RGB2GRAY).astype(float) for v in (video, truth))
    values = []
    for y in range(24 - 6):  # windows that lie inside
        for x in range(24 - 6):
            a, b = one[y : y + 7, x : x + 7].ravel(), two[y : y + 7, x : x + 7].ravel()
            c1, c2, cov = (0.01 * 255) ** 2, (0.03 * 255) ** 2, np.cov(a, b)
            top = (2 * a.mean() * b.mean() + c1) * (2 * cov[0, 1] + c2)
            values.append(top / ((a.mean() ** 2 + b.mean() ** 2 + c1) * (cov[0, 0] + cov[1, 1] + c2)))
    assert ssim_gray_resized(video, truth) == pytest.approx(np.mean(values))
    assert ssim_gray_resized(truth, truth) == pytest.approx(1)


@pytest.mark.parametrize("metric", [psnr_uint8wrap, ssim_gray_resized, l1_per_hw])
def test_another_size_is_brought_to_the_truths(metric):
    video, truth = noisy(20, 32)
    larger = np.stack([cv2.resize(f, (64, 48)) for f in video])
    back = np.stack([cv2.resize(f, (32, 32)) for f in larger])
    assert metric(larger, truth) == metric(back, truth)


@pytest.mark.parametrize("metric", [psnr_uint8wrap, ssim_gray_resized, l1_per_hw])
def test_what_they_are_not_made_for_is_refused(metric):
    video, truth = noisy(20, 16)
    with pytest.raises(ValueError, match="uint8"):
        metric(video / 255, truth)
    with pytest.raises(ValueError, match="length"):
        metric(np.repeat(video, 2, axis=0), truth)


def test_the_published_ssim_needs_a_window():
    with pytest.raises(ValueError, match="at least 7"):
        ssim_gray_resized(np.zeros((1, 6, 9, 3), np.uint8), np.zeros((1, 6, 9, 3), np.uint8))
