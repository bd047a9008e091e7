"""The skeleton warp finds a limb's content where the other skeleton has that limb."""

import numpy as np
import pytest
import torch

from motionkit.perception.pose.skeleton_warp import skeleton_warp
from motionkit.sprites.kinds import character
from motionkit.sprites.motions import Motion
from motionkit.sprites.world import render_clip


def _body():
    """A person facing us, arms down."""
    xy = torch.full((18, 2), torch.nan)
    for joint, place in {
        0: (0.5, 0.2), 1: (0.5, 0.3), 2: (0.4, 0.3), 3: (0.35, 0.45), 4: (0.35, 0.6), 5: (0.6, 0.3), 6: (0.65, 0.45),
        7: (0.65, 0.6), 8: (0.45, 0.6), 9: (0.45, 0.75), 10: (0.45, 0.9), 11: (0.55, 0.6), 12: (0.55, 0.75),
        13: (0.55, 0.9),
    }.items():  # fmt: skip
        xy[joint] = torch.tensor(place)
    return xy[None]


def _cell(place, side=64):
    return int(place[1] * side), int(place[0] * side)


def test_the_same_pose_stays_and_far_cells_are_not_covered():
    places, cover = skeleton_warp(_body(), _body(), 64, 64)
    rest = (torch.arange(64) + 0.5) / 64
    assert torch.allclose(places[0, :, :, 0], rest.expand(64, 64), atol=1e-5)
    assert cover[0, 2, 2] < 0.01 and cover[0][_cell((0.5, 0.45))] > 0.95


def test_a_raised_arm_is_read_where_it_hangs():
    raised = _body()
    raised[0, 3], raised[0, 4] = torch.tensor((0.25, 0.2)), torch.tensor((0.15, 0.1))
    places, _ = skeleton_warp(raised, _body(), 64, 64)
    middle = (raised[0, 3] + raised[0, 4]) / 2
    expected = (_body()[0, 3] + _body()[0, 4]) / 2
    assert (places[0][_cell(middle)] - expected).norm() < 0.04


def test_unseen_joints_pull_nothing():
    missing = _body()
    missing[0, 4] = torch.nan
    places, cover = skeleton_warp(_body(), missing, 64, 64)
    assert torch.isfinite(places).all()
    assert cover[0][_cell((0.35, 0.58))] < 0.6  # the lower arm is known in one pose only


def test_it_comes_near_the_true_flow():
    clip = render_clip(character(4, "person"), Motion("dance", 0.0, 1.0, 1.0), 10)
    pose = torch.from_numpy(clip.openpose / 128).float()
    for target, source in ((2, 0), (7, 3)):
        places, _ = skeleton_warp(pose[[target]], pose[[source]], 128, 128)
        true, valid = clip.flow(target, source)
        at = valid & (clip.parts[target] >= 0)
        found = places[0].numpy() * 128 - 0.5
        still = np.stack(np.meshgrid(np.arange(128), np.arange(128)), -1)
        errors = [np.linalg.norm(x - true, axis=-1)[at].mean() for x in (found, still)]
        assert errors[0] < 0.5 * errors[1], errors


@pytest.mark.parametrize("side", [16, 32])
def test_cells_are_fractions(side):
    places, cover = skeleton_warp(_body(), _body() + 0.05, side, side)
    assert places.shape == (1, side, side, 2) and cover.shape == (1, side, side)
    row, column = _cell((0.5, 0.45), side)
    rest = torch.tensor([(column + 0.5) / side, (row + 0.5) / side])
    assert torch.allclose(places[0, row, column], rest + 0.05, atol=0.01)
