"""Keypoints in turned views: turned back to the picture, and chosen by how little the heatmaps spread."""

import numpy as np
import pytest
import torch

from motionkit.methods.anamodiff.detection import detect, turn_back
from motionkit.methods.anamodiff.keypoints import Keypoints, KPDetector
from motionkit.methods.anamodiff.supervised import truth_keypoints
from motionkit.methods.anamodiff.weights import load_network, pocket_folder
from motionkit.perception.turned import angle, rotation
from motionkit.sprites import Motion, character, render_clip


@pytest.fixture(scope="module")
def detector():
    return load_network(pocket_folder() / "keypoints.safetensors", "keypoints")[0]


@torch.no_grad()
def test_a_body_upside_down_is_found_in_the_turned_view(detector):
    plain, looked = [], []
    for seed, kind in ((3, "bear"), (5, "fox"), (4, "person")):
        clip = render_clip(character(seed, kind), Motion("spin", 0.0, 1.0, 1.0), 8)
        truth = torch.cat([truth_keypoints([clip], f).value for f in range(8)])  # (F, K, 2)
        for asked, away in ((False, plain), (True, looked)):
            found = detect(detector, clip.frames, asked)
            away += ((found.value - truth).norm(dim=-1).mean(1) * 63.5).tolist()  # pixels of each frame
    assert np.mean(plain) > 20 and np.mean(looked) < 4 and np.median(looked) < 2.5, (plain, looked)


@torch.no_grad()
def test_upright_bodies_keep_their_keypoints_exactly(detector):
    clip = render_clip(character(3, "bear"), Motion("wave"), 5)
    plain, looked = detect(detector, clip.frames), detect(detector, clip.frames, True)
    assert torch.equal(plain.value, looked.value) and torch.equal(plain.jacobian, looked.jacobian)


def test_turning_back_knows_the_pictures_shape():
    """A point a quarter of a circle away: 10 pixels below the middle are 10 pixels to its left or right."""
    high, wide, points = 21, 41, Keypoints(torch.tensor([[[0.0, 1.0]]]), torch.eye(2)[None, None])
    back = turn_back(points, np.pi / 2, high, wide)
    pixels = back.value[0, 0] * torch.tensor([(wide - 1) / 2, (high - 1) / 2])
    expected = rotation(np.pi / 2).float() @ torch.tensor([0.0, 10.0])
    assert torch.allclose(pixels, expected, atol=1e-5)
    square = turn_back(points, angle(1), 32, 32)
    assert torch.allclose(square.jacobian[0, 0], rotation(angle(1)).float(), atol=1e-6)


def test_heatmaps_that_spread_more_are_told_apart():
    detector = KPDetector(num_kp=2, block_expansion=8, max_features=16, num_blocks=2)
    sharp = torch.zeros(1, 2, 9, 9)
    sharp[..., 4, 4] = 1
    even = torch.full((1, 2, 9, 9), 1 / 81)
    spread = detector.spread(torch.cat([sharp, even]))
    line = torch.linspace(-1, 1, 9)
    assert spread[0] == 0 and torch.isclose(spread[1], (2 * line.square().mean()).sqrt())
