"""What the guide sees: subjects, points and depth without networks, ready-made maps, and Figure 4."""

import dataclasses

import numpy as np
import pytest
import torch
from vidmp3_requests import edit, shape_masks, textured

from motionkit.backbones import get
from motionkit.context import RunContext
from motionkit.errors import MissingWeights, UserError
from motionkit.media import from_frames
from motionkit.methods.vidmp3 import no_networks
from motionkit.methods.vidmp3.config import VidMP3Config
from motionkit.methods.vidmp3.perceive import Eyes, perceive
from motionkit.perception.masks import MaskSettings
from motionkit.settings.gpu import Plan
from motionkit.testing.clips import moving_shapes
from motionkit.transfer import Inputs

TINY = get("tiny-animatediff-sd15")


@pytest.fixture
def run(tmp_path):
    return RunContext(0, 3, 64, 64, 8.0, Plan(), tmp_path)


def eyes(inputs=None, backbone=TINY, **settings):
    return Eyes.of(VidMP3Config(**settings).on(backbone.name), inputs, backbone)


def test_a_plain_background_gives_the_subject():
    clip, truth, _ = textured()
    found = no_networks.segment(clip.frames)
    assert (found & truth).sum() / (found | truth).sum() > 0.97
    with pytest.raises(UserError, match="no subject found"):
        no_networks.segment(np.full((2, 32, 32, 3), 200, np.uint8))
    busy = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(UserError, match="plain background"):
        no_networks.segment(busy)


def test_points_are_followed_to_the_first_frame():
    clip, mask, (dx, dy) = textured(4)
    points = no_networks.follow(clip.frames, mask)
    assert np.isnan(points[~mask]).all() and np.isfinite(points[mask]).all()
    inner = np.zeros_like(mask)
    inner[3, 24:40, 24:40] = True  # well inside the square of the last frame
    y, x = np.nonzero(inner[3])
    there = (points[3][inner[3]] + 1) / 2 * 63
    assert np.median(np.abs(there - np.stack([x - 3 * dx, y - 3 * dy], 1))) < 0.5


def test_a_subject_that_grows_comes_nearer():
    masks = np.zeros((2, 32, 32), bool)
    masks[0, :8, :8], masks[1, :16, :16] = True, True
    near = no_networks.depth_by_size(masks)
    assert near.shape == masks.shape and near[0, 0, 0] == 8 and near[1, 0, 0] == 16


def test_maps_of_a_moving_thing(run):
    clip = moving_shapes(3)
    (seen,) = perceive(clip.frames, eyes(maps=dataclasses.replace(VidMP3Config().maps, long_side=32)), None, run)
    assert seen.mask.shape == (3, 1, 64, 64) and seen.image.shape == (3, 4, 32, 32) and len(seen.small) == 3
    inside = seen.small[:, 0] > 0
    assert (seen.image.permute(0, 2, 3, 1)[~inside] == 0).all()
    assert torch.allclose(seen.image[:, :3].amax(1)[inside], torch.ones(int(inside.sum())))
    assert seen.image[:, 3][inside].min() >= 0.1
    # Figure 4: frame, correspondence, depth, mask, product, one below the other
    assert seen.pictures.shape == (3, 5 * 64, 64, 3)
    rows = seen.pictures.reshape(3, 5, 64, 64, 3)
    assert np.array_equal(rows[:, 0], clip.frames)
    expected = rows[:, 1].astype(float) * rows[:, 2] / 255
    assert np.abs(rows[:, 4] - expected).max() <= 1.5


def test_ready_made_maps_take_the_networks_place(tmp_path, run):
    disc, bar = shape_masks()
    for name, array in (("masks", disc), ("depth", disc.astype(np.float32)), ("correspondence", None)):
        if array is None:
            array = np.stack([*(0.5 * np.ones((2, *disc.shape))), np.ones(disc.shape)], -1).astype(np.float32)
        np.save(tmp_path / f"{name}.npy", array)
    inputs = Inputs(**{n: str(tmp_path / f"{n}.npy") for n in ("masks", "depth", "correspondence")})
    look = eyes(inputs, get("animatediff-sd15"))  # whose own estimators are not on this machine
    look.check()
    assert look.weights() == {} and {v["backend"] for v in look.facts().values()} == {"files"}
    (seen,) = perceive(moving_shapes(3).frames, look, None, run)
    assert (seen.mask[:, 0].numpy() > 0.5)[:, 32:][bar[:, 32:] & ~disc[:, 32:]].mean() == 0
    hues = seen.image[:, :3].permute(0, 2, 3, 1)[seen.small[:, 0] > 0]
    assert torch.allclose(hues, torch.tensor([0.5, 0.5, 1.0]).expand_as(hues), atol=1e-2)
    with pytest.raises(MissingWeights, match="masks=FOLDER"):
        eyes(Inputs(), get("animatediff-sd15")).weights()


def test_each_of_several_subjects_has_masks_of_its_own(tmp_path, run):
    disc, bar = shape_masks()
    np.save(tmp_path / "disc.npy", disc)
    inputs = Inputs(masks=str(tmp_path))
    with pytest.raises(UserError, match="called 'bar'"):
        eyes(inputs, subjects=["disc", "bar"]).check()
    np.save(tmp_path / "bar.npy", bar)
    look = eyes(inputs, subjects=["disc", "bar"], maps=dataclasses.replace(VidMP3Config().maps, long_side=32))
    look.check()
    first, second = perceive(moving_shapes(3).frames, look, None, run)
    assert np.array_equal(first.mask[:, 0].numpy() > 0.5, disc)
    assert (second.mask * first.mask).sum() < 0.02 * first.mask.sum()
    with pytest.raises(UserError, match="several subjects"):
        eyes(subjects=["disc", "bar"]).check()


def test_no_subject_and_none_in_the_first_frame(tmp_path):
    frames = moving_shapes(3).frames.copy()
    frames[0] = frames[0, 0, 0]
    with pytest.raises(UserError, match="the first frame"):
        edit(tmp_path / "a", driving=from_frames(frames, 8.0))
    frames[:] = frames[0, 0, 0]
    with pytest.raises(UserError, match="no subject found"):
        edit(tmp_path / "b", driving=from_frames(frames, 8.0))


REAL = get("animatediff-sd15")


@pytest.mark.parametrize("subject", ["monkey", ""])
def test_a_subject_of_no_class_stands_in_front_and_that_is_said(subject):
    eyes = Eyes.of(VidMP3Config(subject=subject).on(REAL.name), None, REAL)
    eyes.check()
    assert "BiRefNet" in eyes.remark() and "MIT" in eyes.remark()
    assert Eyes.of(VidMP3Config(subject="jeep").on(REAL.name), None, REAL).remark() == ""


def test_subjects_of_no_class_cannot_be_told_apart():
    eyes = Eyes.of(VidMP3Config(subjects=["tiger", "man"]).on(REAL.name), None, REAL)
    with pytest.raises(UserError, match="'tiger'.*several subjects"):
        eyes.check()
    Eyes.of(VidMP3Config(subjects=["swan", "man"]).on(REAL.name), None, REAL).check()


def test_a_name_that_the_segmenter_lacks_is_refused_before_weights_load():
    config = VidMP3Config(subject="monkey", masks=MaskSettings("mask2former")).on(REAL.name)
    with pytest.raises(UserError, match="'monkey'"):
        Eyes.of(config, None, REAL).check()
