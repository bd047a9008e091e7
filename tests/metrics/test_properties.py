"""Laws that every metric must keep: identity, growth with noise, indifference to order and batches."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionkit import metrics

PAIRWISE = {
    "psnr": (metrics.psnr, 100.0, -1),
    "ssim": (metrics.ssim, 1.0, -1),
    "l1": (metrics.l1, 0.0, 1),
    "motion_error": (metrics.motion_error, 0.0, 1),
    "histogram_distance": (metrics.histogram_distance, 0.0, 1),
}
RANGES = {"psnr": (0, 100), "ssim": (-1, 1), "l1": (0, 1), "motion_error": (0, 2), "histogram_distance": (0, 1)}
MEASURES = {
    "colour",
    "fidelity",
    "keypoints",
    "steadiness",
    "summary",
    "temporal",
    "torch_metric",
}  # each shows a number that can be checked by hand
MODULES = sorted(
    f"motionkit.metrics.{module.name}"
    for module in pkgutil.iter_modules(metrics.__path__)
    if module.name not in ("pose", "scorer")
)


def video(seed=0, frames=4, height=16, width=20):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def smooth(frames=4, side=24):
    y, x = np.mgrid[:side, :side] / side
    return np.stack([np.stack([x, y, (x + y) / 2], -1) * (0.5 + 0.1 * f) for f in range(frames)])


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    outcome = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert outcome.failed == 0
    assert outcome.attempted > 0 or name.rpartition(".")[2] not in MEASURES


@pytest.mark.parametrize("name", PAIRWISE)
def test_identity(name):
    metric, best, _ = PAIRWISE[name]
    assert metric(video(), video()) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("name", [n for n in PAIRWISE if n != "histogram_distance"])
def test_more_noise_is_never_better(name):
    metric, _, sign = PAIRWISE[name]
    truth = smooth()
    noise = np.random.default_rng(1).normal(size=truth.shape)
    values = [metric(np.clip(truth + sigma * noise, 0, 1), truth) for sigma in (0.0, 0.01, 0.03, 0.1, 0.3)]
    assert all(sign * (b - a) > 0 for a, b in zip(values, values[1:], strict=False)), values


def test_histogram_distance_grows_with_a_shift_of_colour():
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    values = [metrics.histogram_distance(truth + np.uint8(shift), truth) for shift in (0, 10, 50, 150)]
    assert values == pytest.approx([0, 10 / 255, 50 / 255, 150 / 255])


@pytest.mark.parametrize("name", ["psnr", "ssim", "l1"])
def test_mean_over_frames_needs_no_order_and_no_batches(name):
    metric = PAIRWISE[name][0]
    one, two = video(0, 20), video(1, 20)
    order = np.random.default_rng(2).permutation(20)
    whole = metric(one, two)
    assert metric(one[order], two[order]) == pytest.approx(whole, rel=1e-9)
    assert np.mean([metric(one[i : i + 1], two[i : i + 1]) for i in range(20)]) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("name", PAIRWISE)
def test_uint8_and_float_agree_and_both_sides_are_equal(name):
    metric = PAIRWISE[name][0]
    one, two = video(0), video(1)
    value = metric(one, two)
    assert metric(one / 255.0, (two / 255.0).astype(np.float32)) == pytest.approx(value, rel=1e-5)
    assert metric(two, one) == pytest.approx(value, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), frames=st.integers(2, 4), black=st.booleans())
def test_ranges(seed, frames, black):
    one = video(seed, frames)
    two = np.full_like(one, 0 if black else 255)
    for name, (metric, _, _) in PAIRWISE.items():
        low, high = RANGES[name]
        assert low <= metric(one, two) <= high + 1e-9
        assert low <= metric(two, 255 - two) <= high + 1e-9


def test_differences_of_uint8_do_not_wrap():
    dark, bright = np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 255, np.uint8)
    assert metrics.psnr(dark, bright) == pytest.approx(0, abs=1e-9) and metrics.l1(dark, bright) == 1


def test_known_psnr_of_one_grey_level():
    truth = np.full((3, 8, 8, 3), 100, np.uint8)
    assert metrics.psnr(truth + np.uint8(1), truth) == pytest.approx(20 * np.log10(255))


def test_identical_frames_do_not_swallow_the_others():
    truth = np.zeros((2, 8, 8, 3))
    half = truth.copy()
    half[1] = 0.1
    assert metrics.psnr(half, truth) == pytest.approx((100 + 20) / 2)


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 16, 20, 3), np.int64),
        np.full((4, 16, 20, 3), 2.0),
        np.full((4, 16, 20, 3), np.nan),
        np.zeros((16, 20, 3)),
    ],
)
def test_refusals(name, wrong):
    with pytest.raises(ValueError):
        PAIRWISE[name][0](wrong, video())


def test_shapes_must_agree():
    for name in ("psnr", "ssim", "l1", "motion_error"):
        with pytest.raises(ValueError, match="differ"):
            PAIRWISE[name][0](video(), video(height=17))
