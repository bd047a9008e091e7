"""What is particular to one metric."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionkit import metrics


def walking(step=2, frames=6, side=48):
    """A textured square that moves `step` pixels per frame over white, and its true flow."""
    texture = np.random.default_rng(0).random((16, 16, 3)) * 0.6
    video = np.ones((frames, side, side, 3))
    flow = np.zeros((frames - 1, side, side, 2))
    for index in range(frames):
        left = 4 + step * index
        video[index, 16:32, left : left + 16] = texture
        if index + 1 < frames:
            flow[index, 16:32, left : left + 16, 0] = step
    return video, flow


def test_masked_psnr_sees_only_the_mask():
    truth, video = np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8, 3))
    video[:, :4] = 0.1
    mask = np.zeros((2, 8, 8), bool)
    mask[0, :4] = True  # the second frame does not count
    video[1] = 1.0
    assert metrics.masked_psnr(video, truth, mask) == pytest.approx(20)
    assert metrics.masked_psnr(video, truth, np.ones_like(mask)) == pytest.approx(metrics.psnr(video, truth))
    with pytest.raises(ValueError, match="empty"):
        metrics.masked_psnr(video, truth, np.zeros_like(mask))
    with pytest.raises(ValueError, match="boolean"):
        metrics.masked_psnr(video, truth, mask.astype(int))


def test_subject_mask_is_the_subject():
    video, _ = walking()
    mask = metrics.subject_mask(video)
    assert mask.sum() == pytest.approx(6 * 256, rel=0.02) and not mask[:, :16].any()


def test_motion_ratio():
    video, _ = walking()
    frozen = np.repeat(video[:1], 6, axis=0)
    assert metrics.motion_ratio(video, video) == 1 and metrics.motion_ratio(frozen, video) == 0
    assert metrics.motion_ratio(frozen, frozen) == 1 and metrics.motion_ratio(video, frozen) == float("inf")
    flicker = np.clip(video + 0.1 * np.random.default_rng(0).normal(size=video.shape), 0, 1)
    assert metrics.motion_ratio(flicker, video) > 1.5
    assert metrics.motion_ratio(video[:, ::2, ::2], video) == pytest.approx(1, rel=0.5)  # sizes may differ
    with pytest.raises(ValueError):
        metrics.motion_ratio(video[:1], video[:1])


def test_motion_error_is_blind_to_a_constant_and_sees_a_frozen_video():
    video, _ = walking()
    assert metrics.motion_error(video * 0.5 + 0.25, video * 0.5) == pytest.approx(0, abs=1e-12)
    assert metrics.motion_error(np.repeat(video[:1], 6, axis=0), video) > 0.005


def test_warping_error_follows_the_motion():
    video, flow = walking()
    known = metrics.warping_error(video, flow)
    unmoved = metrics.warping_error(video, np.zeros_like(flow))
    assert known < unmoved / 2
    assert metrics.warping_error(video) < unmoved / 2  # estimated flow finds the motion too
    assert metrics.warping_error(np.repeat(video[:1], 4, axis=0)) == 0
    noise = np.random.default_rng(0).normal(size=video.shape)
    values = [metrics.warping_error(np.clip(video + s * noise, 0, 1), flow) for s in (0, 0.02, 0.1, 0.3)]
    assert values == sorted(values) and values[-1] <= 1
    with pytest.raises(ValueError, match="shape"):
        metrics.warping_error(video, flow[:2])


def test_histogram_distance_is_blind_to_place_order_and_number():
    video = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    flat = video.reshape(-1, 3)
    shuffled = np.random.default_rng(1).permutation(flat).reshape(video.shape)
    assert metrics.histogram_distance(shuffled, video) == 0
    assert metrics.histogram_distance(np.concatenate([video, video]), video) == 0


@given(scale=st.floats(0.1, 10), shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
def test_keypoint_error_of_a_shift_is_its_length(scale, shift):
    truth = np.random.default_rng(0).random((3, 5, 2)) * 100
    moved = truth + np.array(shift) * scale
    length = float(np.hypot(*shift)) * scale
    assert metrics.keypoint_error(moved, truth) == pytest.approx(length, abs=1e-9)
    assert metrics.pck(moved, truth, length + 1e-6) == 1


def test_invisible_keypoints_may_be_anything():
    truth = np.zeros((1, 3, 2))
    predicted = truth.copy()
    predicted[0, 2] = np.nan
    visible = np.array([[True, True, False]])
    assert metrics.keypoint_error(predicted, truth, visible) == 0
    with pytest.raises(ValueError, match="finite"):
        metrics.keypoint_error(predicted, truth)
    with pytest.raises(ValueError, match="no keypoint"):
        metrics.keypoint_error(predicted, truth, np.zeros((1, 3), bool))


def test_pck_grows_with_the_radius():
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((4, 12, 2)) * 128, rng.random((4, 12, 2)) * 128
    values = [metrics.pck(predicted, truth, r) for r in (1, 10, 50, 200)]
    assert values == sorted(values) and values[-1] == 1


def test_student_s_interval_keeps_its_promise_where_a_bootstrap_does_not():
    draws = np.random.default_rng(0).normal(size=(2000, 5))
    missed = [
        np.mean([not low <= 0 <= high for _, low, high in map(interval, draws)])
        for interval in (metrics.t_interval, lambda values: metrics.bootstrap_interval(values, resamples=500))
    ]
    assert 0.035 < missed[0] < 0.065 and missed[1] > 0.12
    exact = {1: 12.706, 4: 2.776, 11: 2.201, 23: 2.069}  # quantiles of printed tables
    for free, quantile in exact.items():
        values = np.array([-1.0, 1.0] * ((free + 1) // 2) + [0.0] * ((free + 1) % 2))
        reach = metrics.t_interval(values).high * len(values) ** 0.5 / values.std(ddof=1)
        assert reach == pytest.approx(quantile, abs=0.001 if free > 3 else 2)
    assert metrics.t_interval([3.0]) == (3.0, -np.inf, np.inf)
    with pytest.raises(ValueError, match="non-empty"):
        metrics.t_interval([])


def test_bootstrap_is_seeded_ordered_and_covers():
    values = np.random.default_rng(0).normal(10, 2, 30)
    one = metrics.bootstrap_interval(values)
    assert one == metrics.bootstrap_interval(values[::-1]) != metrics.bootstrap_interval(values, seed=1)
    assert one.low < one.mean < one.high
    normal = 1.96 * values.std(ddof=1) / np.sqrt(30)
    assert (one.high - one.low) / 2 == pytest.approx(normal, rel=0.1)
    narrow = metrics.bootstrap_interval(values, confidence=0.5)
    assert narrow.high - narrow.low < one.high - one.low
    for wrong in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError):
            metrics.bootstrap_interval(wrong)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = metrics.bootstrap_interval(rng.normal(0, 1, 25), resamples=400, seed=trial)
        hits += interval.low <= 0 <= interval.high
    assert 0.88 <= hits / 200 <= 0.99


def test_measure_gives_what_can_be_had():
    video, _ = walking()
    frames = np.rint(video * 255).astype(np.uint8)
    alone = metrics.measure(frames)
    assert set(alone) == {"warping_error", "motion_amount"}
    assert set(metrics.measure(frames, driving=frames)) == {"warping_error", "motion_amount", "motion_ratio"}
    full = metrics.measure(frames, driving=frames[:, ::2, ::2], truth=frames)
    assert set(full) <= set(metrics.facts()) - {"motion_ratio"}
    assert full["psnr"] == 100 and full["ssim"] == pytest.approx(1)
    assert full["motion_ratio_truth"] == 1
    assert metrics.measure(frames[:1], frames[:1])["motion_ratio"] is None
    blank = np.full_like(frames, 9)
    assert metrics.measure(frames, truth=blank)["subject_psnr"] is None  # nothing differs from the border
    assert metrics.measure(frames, truth=blank)["motion_ratio_truth"] is None


def test_measure_takes_joints_from_the_pose_estimator(monkeypatch, tmp_path):
    from motionkit.metrics import judges, pose

    def estimate(frames):
        """Every joint is where the frame is black; the first half of them is unsure."""
        assert frames.shape[1] == frames.shape[2]
        place = np.zeros((len(frames), 12, 3))
        for index, frame in enumerate(frames):
            y, x = np.argwhere(frame[..., 0] == 0)[0]
            place[index, :, :2] = x, y
        place[:, 6:, 2] = 1
        place[:, :6, :2] += 50 * np.random.default_rng(len(frames)).random()
        return place

    (tmp_path / "there").touch()
    monkeypatch.setattr(judges, "weights_path", lambda name: tmp_path / "there")
    monkeypatch.setattr(pose, "estimate", estimate)
    truth, video = np.full((2, 60, 100, 3), 255, np.uint8), np.full((2, 60, 100, 3), 255, np.uint8)
    truth[:, 20, 30], video[0, 20, 38], video[1, 20, 30] = 0, 0, 0
    values = metrics.measure(video, truth=truth)
    assert values["keypoint_error"] == 4 and values["pck"] == 0.5  # 8 pixels off in one frame of two
    monkeypatch.setattr(judges, "weights_path", lambda name: tmp_path / "nowhere")
    assert "keypoint_error" not in metrics.measure(video, truth=truth)
