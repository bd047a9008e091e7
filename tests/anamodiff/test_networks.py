"""Detector and flow network: sizes, guards, and the identities that hold for any weights."""

import pytest
import torch

from motionkit.diffusion.warp import identity_grid, warp
from motionkit.methods.anamodiff import sparse
from motionkit.methods.anamodiff.hourglass import AntiAlias, Hourglass
from motionkit.methods.anamodiff.keypoints import Keypoints, KPDetector, local_jacobians
from motionkit.methods.anamodiff.lofnet import LOFNet

SMALL = {"block_expansion": 8, "max_features": 32, "num_blocks": 2}


def points(draw, frames=2, count=5, spread=0.5):
    value = (torch.rand(frames, count, 2, generator=draw) * 2 - 1) * spread
    jacobian = torch.eye(2) + 0.3 * torch.randn(frames, count, 2, 2, generator=draw)
    return Keypoints(value, jacobian)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: KPDetector(single_jacobian_map=True, pad=0), 14_153_592),
        (lambda: LOFNet(), 37_743_576),
        (lambda: LOFNet(estimate_occlusion_map=True), 37_749_408),
    ],
)
def test_default_sizes_are_those_of_the_public_nets(network, parameters):
    with torch.device("meta"):
        net = network()
    assert sum(p.numel() for p in net.parameters()) == parameters


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (32, 20)])
def test_any_size_goes_through(size, draw):
    net = LOFNet(num_kp=5, estimate_occlusion_map=True, **SMALL).eval()
    motion = net(torch.randn(2, 4, *size, generator=draw), points(draw), points(draw))
    assert motion.flow.shape == (2, *size, 2) and motion.occlusion.shape == (2, 1, *size)
    torch.testing.assert_close(motion.mask.sum(1), torch.ones(2, *size))
    assert Hourglass(8, 3, 2)(torch.randn(1, 3, *size)).shape == (1, 11, *size)


def test_too_small_an_input_is_named():
    with pytest.raises(ValueError, match="too small"):
        Hourglass(8, 3, 3)(torch.zeros(1, 3, 7, 16))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("pad", [0, 3])
def test_detector_shapes_and_first_jacobians(shared, pad, draw):
    net = KPDetector(num_kp=6, single_jacobian_map=shared, pad=pad, scale_factor=0.5, **SMALL).eval()
    found = net(torch.rand(3, 3, 32, 32, generator=draw))
    assert found.value.shape == (3, 6, 2) and found.value.abs().max() <= 1
    torch.testing.assert_close(found.jacobian, torch.eye(2).expand(3, 6, 2, 2))


def test_equal_poses_give_the_identity_flow_for_any_weights(draw):
    net = LOFNet(num_kp=5, **SMALL).eval()
    pose = points(draw)
    flow = net(torch.randn(2, 4, 16, 16, generator=draw), pose, pose).flow
    torch.testing.assert_close(flow, identity_grid(16, 16).expand_as(flow), atol=1e-5, rtol=0)


def test_splines_move_a_limb_and_leave_the_rest(draw):
    """Five points on the left shift; a spline through points that stand still stays near the identity there."""
    net = LOFNet(num_kp=10, motion="tps", **SMALL).eval()
    still = Keypoints((torch.rand(1, 10, 2, generator=draw) * 2 - 1) * 0.8)
    moved = Keypoints(still.value.clone())
    moved.value[:, :5, 0] += 0.3
    grids = net.sparse(moved, still, 16, 16)
    assert grids.shape == (1, 3, 16, 16, 2)
    away = (grids - identity_grid(16, 16)).abs().mean((0, 2, 3, 4))
    assert away[0] == 0 and away[2] < 0.5 * away[1]
    flow = net(torch.randn(1, 4, 16, 16, generator=draw), moved, still).flow
    assert flow.shape == (1, 16, 16, 2)


def test_the_identity_grid_returns_its_input(draw):
    z = torch.randn(2, 4, 12, 9, generator=draw)
    torch.testing.assert_close(warp(z, identity_grid(12, 9).expand(2, -1, -1, -1)), z, atol=1e-5, rtol=0)


def test_one_sampling_call_equals_one_per_motion(draw):
    z, motions = torch.randn(2, 4, 10, 8, generator=draw), torch.randn(2, 3, 10, 8, 2, generator=draw)
    together = sparse.deform_each(z, motions)
    for k in range(3):
        torch.testing.assert_close(together[:, k], warp(z, motions[:, k], padding="zeros"))


def test_affine_motion_carries_driving_points_to_source_points(draw):
    driving, source = points(draw, 1), points(draw, 1)
    offset = torch.tensor([0.0, 0.0])
    change = source.jacobian @ torch.linalg.inv(driving.jacobian)
    grids = sparse.affine_motions(driving, source, 33, 33)
    for k in range(5):
        # A pixel right on the driving point must read the source point; read the grid there by interpolation.
        read = warp(grids[:, k + 1].permute(0, 3, 1, 2), driving.value[:, k].view(1, 1, 1, 2))[0, :, 0, 0]
        torch.testing.assert_close(read, source.value[0, k] + change[0, k] @ offset, atol=1e-4, rtol=0)


class TestGuard:
    def test_healthy_matrices_are_inverted_exactly(self, draw):
        m = torch.eye(2) + 0.3 * torch.randn(50, 2, 2, generator=draw)
        m = m[torch.linalg.det(m).abs() > 0.1]
        torch.testing.assert_close(sparse.inverse(m), torch.linalg.inv(m), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(sparse.inverse(m), sparse.inverse(m, guard=False))

    @pytest.mark.parametrize(
        "matrix",
        [[[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]], [[100.0, 0.0], [0.0, 1e-3]], [[1e-9, 0], [0, 1e9]]],
    )
    def test_degenerate_ones_stay_finite(self, matrix):
        m = torch.tensor([matrix, [[1.0, 0.5], [0.0, 1.0]]], requires_grad=True)
        out = sparse.inverse(m)
        out.sum().backward()
        assert torch.isfinite(out).all() and torch.isfinite(m.grad).all()
        torch.testing.assert_close(out[1], torch.tensor([[1.0, -0.5], [0.0, 1.0]]))


def test_anti_aliasing_keeps_a_constant_inside():
    blurred = AntiAlias(3, 0.25)(torch.full((1, 3, 64, 64), 0.7))
    assert blurred.shape == (1, 3, 16, 16)
    torch.testing.assert_close(blurred[..., 3:-3, 3:-3], torch.full((1, 3, 10, 10), 0.7))


def test_local_jacobians_find_a_common_affine_map(draw):
    rest = torch.rand(8, 2, generator=draw) * 2 - 1
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    found = local_jacobians((rest @ turn.T)[None], rest, neighbours=4)[0]
    assert (found - turn).abs().mean() < 0.1  # pulled a little towards the identity
    still = local_jacobians(rest[None], rest)[0]
    torch.testing.assert_close(still, torch.eye(2).expand(8, 2, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(local_jacobians(rest[None, :2], rest[:2])[0], torch.eye(2).expand(2, 2, 2))
