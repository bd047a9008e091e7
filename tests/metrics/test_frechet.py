"""Distances of sets: closed forms, laws, another implementation, and what a small set costs."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from motionkit.metrics.frechet import energy_distance, expected_at_null, frechet_distance, measured


def exactly(mean, covariance, count=50, seed=0):
    """Vectors whose sample mean and covariance are exactly those given."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def spread(seed, size=4):
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T + 0.1 * np.eye(size)


def clips(seed, count=12, width=3, shift=0.0):
    return list(np.random.default_rng(seed).normal(shift, size=(count, 1, width)))


def test_the_closed_form_of_gaussians_along_the_axes():
    a, b = np.diag([4.0, 9.0, 1.0]), np.diag([1.0, 1.0, 25.0])
    found = frechet_distance(exactly([0, 0, 0], a), exactly([1, 2, 2], b, seed=1))
    assert found == pytest.approx(9 + (2 - 1) ** 2 + (3 - 1) ** 2 + (1 - 5) ** 2)


def test_the_closed_form_of_any_gaussians():
    a, b = spread(1), spread(2)
    expected = np.trace(a + b - 2 * sqrtm(a @ b).real) + 4.0
    assert frechet_distance(exactly(np.zeros(4), a), exactly([2, 0, 0, 0], b, 80, 3)) == pytest.approx(expected)


@pytest.mark.parametrize("count", [5, 40])  # fewer vectors than numbers, and more
def test_it_agrees_with_torchmetrics(count):
    from torchmetrics.image.fid import _compute_fid

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(count, 8)), rng.normal(0.3, 2, size=(count, 8))
    facts = [torch.from_numpy(x) for s in (a, b) for x in (s.mean(0), np.cov(s, rowvar=False))]
    assert frechet_distance(a, b) == pytest.approx(float(_compute_fid(*facts)), rel=1e-6)


@pytest.mark.parametrize("distance", [frechet_distance, energy_distance])
def test_laws(distance):
    rng = np.random.default_rng(1)
    a, noise = rng.normal(size=(30, 6)), rng.normal(size=(30, 6))
    assert distance(a, a) == pytest.approx(0, abs=1e-9)
    values = [distance(a, a + sigma * noise) for sigma in (0.0, 0.3, 1.0, 3.0, 10.0)]
    assert all(y > x for x, y in zip(values, values[1:], strict=False)), values
    order = rng.permutation(30)
    assert distance(a[order], (a + noise)[order]) == pytest.approx(distance(a, a + noise))
    assert distance(a + noise, a) == pytest.approx(distance(a, a + noise))


def test_the_frechet_distance_does_not_see_the_order_of_one_side():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(20, 5)), rng.normal(size=(20, 5))
    assert frechet_distance(a, b[::-1]) == pytest.approx(frechet_distance(a, b))


def test_few_vectors_cost_the_frechet_distance_and_not_the_energy_distance():
    def at(count, distance):
        draws = [np.random.default_rng(seed).normal(size=(2, count, 10)) for seed in range(60)]
        return np.array([distance(a, b) for a, b in draws])

    few, many = at(16, frechet_distance).mean(), at(128, frechet_distance).mean()
    assert few > 5 * many > 0.5  # the two sides never differ
    found = at(16, energy_distance)
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(60) and (found < 0).any()


def test_the_energy_distance_stays_unbiased_when_pairs_belong_together():
    values = []
    for seed in range(60):
        a = np.random.default_rng(seed).normal(size=(10, 4))
        values.append(energy_distance(a, a + 0.01 * np.random.default_rng(seed + 999).normal(size=a.shape)))
    assert abs(np.mean(values)) < 1e-3


def test_what_chance_alone_gives_is_the_bias():
    one, two = clips(1), clips(2)
    chance = expected_at_null(frechet_distance, one, two)
    assert chance == expected_at_null(frechet_distance, one, two) > 0.05
    far = clips(2, shift=5.0)
    found = measured(frechet_distance, one, far)
    assert found.value > 5 * found.null and found.low > found.null


def test_the_interval_of_a_mean_is_its_standard_error():
    one, two = clips(3, count=20, width=1), [np.zeros((1, 1))] * 20

    def shift(a, b):
        return float(a.mean() - b.mean())

    found = measured(shift, one, two, floor=None)
    error = np.concatenate(one).std(ddof=1) / np.sqrt(20)
    assert found.high - found.value == pytest.approx(1.959964 * error)
    assert found.value - found.low == pytest.approx(1.959964 * error)
    assert measured(shift, two, two).low == 0.0


def test_the_frames_of_a_clip_are_left_out_together():
    rng = np.random.default_rng(0)
    one = [np.repeat(rng.normal(size=(1, 2)), 10, axis=0) for _ in range(8)]  # ten equal frames are one observation
    two = [np.repeat(rng.normal(size=(1, 2)), 10, axis=0) for _ in range(8)]
    thin = [[clip[:1] for clip in side] for side in (one, two)]
    wide, narrow = measured(energy_distance, *thin, floor=None), measured(frechet_distance, one, two)
    assert narrow.high - narrow.low > 0.1 and wide.high - wide.low > 0.1


@pytest.mark.parametrize("distance", [frechet_distance, energy_distance])
def test_what_is_no_set_is_refused(distance):
    good = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"compared|shape"):
        distance(good, np.zeros((3, 4)))
    for bad in (np.zeros((1, 2)), np.zeros(3), np.full((3, 2), np.nan), np.zeros((3, 0))):
        with pytest.raises(ValueError, match=r"\(n, D\)"):
            distance(good, bad)
    with pytest.raises(ValueError, match="at least 3"):
        measured(distance, clips(0, 2), clips(1, 2))
    with pytest.raises(ValueError, match="same number"):
        measured(distance, clips(0, 4), clips(1, 5))
