"""Keypoint adaptation: modes, scale, start frames, smoothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motionkit.diffusion.warp import identity_grid, warp
from motionkit.errors import UserError
from motionkit.methods.anamodiff.adapt import best_start, hull_area, relative, size_ratio, smooth
from motionkit.methods.anamodiff.config import AdaptConfig, AnaMoDiffConfig
from motionkit.methods.anamodiff.keypoints import Keypoints
from motionkit.methods.anamodiff.motion import check_frames, find_analogy, to_pixels

BODY = torch.tensor([[-0.5, -0.3], [0.5, -0.3], [0.4, 0.4], [-0.4, 0.4], [0.0, 0.0]])


def clip(draw, frames=6, scale=1.0, shape=BODY, motion=None):
    """A body that moves; jacobians turn with it."""
    if motion is None:
        motion = 0.1 * torch.randn(frames, *shape.shape, generator=draw)
    angles = torch.linspace(-0.4, 0.4, len(motion))
    turn = torch.stack([torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()]) for a in angles]).view(-1, 1, 2, 2)
    return Keypoints(scale * (shape + motion), turn.expand(-1, len(shape), -1, -1).contiguous())


def config(**values):
    return AnaMoDiffConfig(adapt=AdaptConfig(**values)).on("tiny-sd").adapt


@pytest.mark.parametrize("reference", ["first", "3", "mean"])
def test_a_clip_on_itself_is_itself(reference, draw):
    body = clip(draw)
    frame = {"first": "0", "3": "3", "mean": "0"}[reference]
    adapted = find_analogy(body, body, config(reference=reference), frame).adapted
    torch.testing.assert_close(adapted.value, body.value, atol=1e-6, rtol=0)
    torch.testing.assert_close(adapted.jacobian, body.jacobian, atol=1e-5, rtol=0)


def test_at_the_reference_frame_the_source_stands_still(draw):
    source, driving = clip(draw, scale=0.6), clip(draw)
    analogy = find_analogy(source, driving, config(reference="2"), "4")
    torch.testing.assert_close(analogy.adapted.value[2], source.value[4])
    torch.testing.assert_close(analogy.adapted.jacobian[2], source.jacobian[4], atol=1e-6, rtol=0)
    assert analogy.reference == 2 and analogy.pick.tolist() == [4] * 6


def test_mean_mode_needs_no_common_pose(draw):
    """The same motion on a body of another size, with the clips out of step: mean mode recovers the motion."""
    motion = 0.1 * torch.randn(6, 5, 2, generator=draw)
    driving, truth = clip(draw, motion=motion), clip(draw, scale=0.5, motion=motion)
    source = Keypoints(truth.value.roll(2, 0), truth.jacobian.roll(2, 0))
    by_mean = find_analogy(source, driving, config(reference="mean"), "0").adapted
    by_first = find_analogy(source, driving, config(reference="first"), "0").adapted
    torch.testing.assert_close(by_mean.value, truth.value, atol=1e-5, rtol=0)
    assert (by_first.value - truth.value).abs().mean() > 0.01


def test_best_takes_mean_for_clips_and_auto_for_pictures(draw):
    source, driving = clip(draw), clip(draw)
    assert find_analogy(source, driving, config(reference="best"), "0").mode == "mean"
    assert find_analogy(source[0], driving, config(reference="best"), "0").mode == "auto"


def test_auto_finds_the_pair_of_equal_poses_whatever_the_size(draw):
    driving = clip(draw)
    source = Keypoints(0.4 * driving.value[[3]] + 0.2, driving.jacobian[[3]])
    analogy = find_analogy(source, driving, config(reference="auto"), "0")
    assert analogy.reference == 3 and analogy.cost < 1e-6 and not analogy.mirrored


def test_auto_takes_the_mirrored_source_when_that_fits(draw):
    driving = clip(draw)
    mirror = torch.tensor([-1.0, 1.0])
    source = Keypoints(driving.value[[3]] * mirror, driving.jacobian[[3]])
    other = Keypoints(driving.value[[3]], driving.jacobian[[3]])
    start = best_start(source.value, driving.value, other.value)
    assert start.mirrored and start.driving == 3 and start.cost < 1e-6
    analogy = find_analogy(source, driving, config(reference="auto", mirror=True), "0", other)
    assert analogy.mirrored and torch.equal(analogy.source.value, other.value)


def test_a_fixed_source_frame_is_kept_in_the_search(draw):
    source, driving = clip(draw), clip(draw)
    assert best_start(source.value, driving.value, only=4).source == 4


def test_body_shape_does_not_decide_the_start(draw):
    """Two bodies of different shape, same motion: with the temporal mean removed the poses pair up."""
    motion = 0.15 * torch.randn(6, 5, 2, generator=draw)
    other = BODY * torch.tensor([0.6, 1.5])
    driving, source = clip(draw, motion=motion), clip(draw, shape=other, motion=motion)
    for frame in range(6):
        assert best_start(source.value, driving.value, only=frame).driving == frame


def test_nearest_picks_a_source_frame_for_each_output_frame(draw):
    body = clip(draw)
    shuffled = Keypoints(body.value[[5, 1, 3, 0, 2, 4]], body.jacobian[[5, 1, 3, 0, 2, 4]])
    pick = find_analogy(shuffled, body, config(reference="mean"), "nearest").pick
    assert pick.tolist() == [3, 1, 4, 2, 5, 0]


def test_absolute_mode_leaves_the_driving_keypoints(draw):
    source, driving = clip(draw, scale=0.3), clip(draw)
    assert torch.equal(find_analogy(source, driving, config(mode="absolute")).adapted.value, driving.value)


class TestScale:
    def test_hull_and_box(self):
        assert size_ratio(BODY * 0.5, BODY).tolist() == pytest.approx([0.5, 0.5])
        wide = BODY * torch.tensor([2.0, 0.5])
        assert size_ratio(wide, BODY, "box").tolist() == pytest.approx([2.0, 0.5])
        assert size_ratio(wide, BODY, "none").tolist() == [1, 1]

    @pytest.mark.parametrize("kind", ["hull", "box"])
    def test_no_extent_means_no_scale(self, kind):
        same = torch.zeros(5, 2)
        assert size_ratio(same, BODY, kind).tolist() == [1, 1]
        line = torch.stack([torch.linspace(-1, 1, 5), torch.linspace(-1, 1, 5)], -1)
        assert size_ratio(line, BODY, "hull").tolist() == [1, 1]

    def test_it_is_bounded(self):
        assert size_ratio(BODY * 0.01, BODY).tolist() == pytest.approx([1 / 3, 1 / 3])

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=12))
    def test_hull_area_is_that_of_scipy(self, corners):
        array = np.array(corners)
        area = hull_area(array)
        assert 0 <= area <= 4
        scipy = pytest.importorskip("scipy.spatial")
        if area > 1e-3:
            assert area == pytest.approx(scipy.ConvexHull(array).volume, rel=1e-6)


class TestSmoothing:
    def test_a_quadratic_passes_unchanged_and_noise_shrinks(self, draw):
        t = torch.linspace(-1, 1, 12)
        path = torch.stack([t, t**2], -1)[:, None]
        assert torch.allclose(smooth(Keypoints(path), 5).value, path, atol=1e-5)
        noise = torch.randn(40, 5, 2, generator=draw)
        assert smooth(Keypoints(noise), 7).value.std() < 0.75 * noise.std()

    def test_no_window_is_no_filter(self, draw):
        body = clip(draw)
        assert smooth(body, 0) is body and smooth(body[0], 9).value is not None


def test_frames_that_do_not_exist_are_named():
    with pytest.raises(UserError, match="source_frame=5.* 3 frames"):
        check_frames(config(), "5", 3, 10)
    with pytest.raises(UserError, match="adapt.reference=12.* 10"):
        check_frames(config(reference="12"), "0", 3, 10)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_latent_flow_moves_pixels_by_the_same_cells(factor, draw):
    """Moving everything by one latent cell moves pixels by `factor`; the identity stays the identity."""
    cells = 16
    still = identity_grid(cells, cells)[None]
    size = cells * factor
    torch.testing.assert_close(to_pixels(still, factor)[0], identity_grid(size, size), atol=1e-6, rtol=0)
    picture = torch.rand(1, 3, size, size, generator=draw)
    right = still.clone()
    right[..., 0] -= 2 / (cells - 1)  # read one cell to the left: the content moves right
    moved = warp(picture, to_pixels(right, factor))
    torch.testing.assert_close(moved[..., factor:], picture[..., :-factor], atol=1e-4, rtol=0)
    assert relative(clip(draw), clip(draw)[0], clip(draw)[0]).value.shape == (6, 5, 2)
