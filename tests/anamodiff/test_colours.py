"""Subject masks, the background that stays, and colour matching."""

import numpy as np
import pytest
import torch

from motionkit.diffusion.warp import identity_grid
from motionkit.methods.anamodiff.foreground import Layers, plate, put_back, subject_mask
from motionkit.methods.anamodiff.histogram import match_colours
from motionkit.testing.clips import moving_shapes

BACKGROUND = (235, 235, 225)


@pytest.fixture
def clip():
    return moving_shapes(5, background=BACKGROUND)


def test_the_mask_covers_what_differs_from_the_background(clip):
    mask = subject_mask(clip.frames)
    away = np.abs(clip.frames.astype(int) - BACKGROUND).max(-1)
    assert mask.shape == clip.frames.shape[:3] and mask.dtype == np.float32
    assert (mask[away > 40] == 1).all() and (mask[away < 5] == 0).mean() > 0.99


def test_an_eye_in_the_background_colour_belongs_to_the_subject(clip):
    frames = clip.frames.copy()
    inside = subject_mask(frames)[0] == 1
    y, x = np.argwhere(inside)[inside.sum() // 2]
    if inside[y - 1 : y + 2, x - 1 : x + 2].all():
        frames[0, y, x] = BACKGROUND
    assert subject_mask(frames)[0, y, x] == 1


def test_a_busy_border_has_no_mask():
    rng = np.random.default_rng(0)
    assert subject_mask(rng.integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)) is None


def test_speckles_are_not_the_subject(clip):
    frames = clip.frames.copy()
    frames[0, 3, 3] = (150, 150, 150)
    assert subject_mask(frames)[0, 3, 3] == 0


def test_the_plate_is_the_background_alone(clip):
    mask = subject_mask(clip.frames)
    bare = plate(clip.frames[0], mask[0])
    assert np.abs(bare.astype(int) - BACKGROUND).max() <= 4


def test_layers_keep_the_background_and_free_the_place_that_was_left():
    size = 16
    mask = torch.zeros(1, 1, size, size)
    mask[..., 4:8, 4:8] = 1
    picture = torch.where(mask > 0, 1.0, torch.linspace(0, 0.5, size).expand(1, 1, size, size))
    background = torch.linspace(0, 0.5, size).expand(1, 1, size, size)
    layers = Layers(mask, background)
    flow = identity_grid(size, size)[None].clone()
    flow[..., 0] -= 6 * 2 / (size - 1)  # everything moves six cells to the right
    placed = layers.place(torch.nn.functional.grid_sample(picture, flow, align_corners=True), flow)
    assert (placed[0, 0, 4:8, 10:14] - 1).abs().max() < 1e-5  # the subject has arrived
    outside = torch.ones(size, size, dtype=torch.bool)
    outside[4:8, 10:14] = False
    torch.testing.assert_close(placed[0, 0][outside], background[0, 0][outside], atol=1e-5, rtol=0)
    grid = layers.noise_grid(flow)[0]
    torch.testing.assert_close(grid[0, 0], identity_grid(size, size)[0, 0])
    assert (grid[5, 5] == 3).all() and torch.equal(grid[5, 11], flow[0, 5, 11])


def floats(clip):
    return clip.frames.astype(np.float32) / 255


@pytest.mark.parametrize("kind", ["histogram", "reinhard"])
@pytest.mark.parametrize("masked", [True, False])
def test_a_tone_shift_is_undone(clip, kind, masked):
    wanted = floats(clip)
    shifted = wanted * 0.8 + np.array([0.05, 0.1, 0.0], np.float32)
    back, told = match_colours(shifted, clip.frames, kind, 1.0, True, masked)
    assert told is masked
    assert np.abs(back - wanted).mean() < 0.1 * np.abs(shifted - wanted).mean()


def test_the_right_colours_stay_and_strength_scales(clip):
    wanted = floats(clip)
    same, _ = match_colours(wanted, clip.frames)
    assert np.abs(same - wanted).max() < 1e-3
    shifted = wanted * 0.8
    full, _ = match_colours(shifted, clip.frames, strength=1.0)
    half, _ = match_colours(shifted, clip.frames, strength=0.5)
    np.testing.assert_allclose(half, (shifted + full) / 2, atol=1e-5)
    none, told = match_colours(shifted, clip.frames, "none")
    assert none is shifted and not told


def test_a_growing_subject_does_not_shift_the_background(clip):
    """A clip whose subject is larger than the source's: apart, the background keeps its colour; together, it cannot."""
    source = clip.frames
    large = floats(moving_shapes(5, 64, 64, background=BACKGROUND))[:, 16:48, 16:48]
    large = np.pad(large, ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=0)
    large[:, :4] = large[:, -4:] = large[:, :, :4] = large[:, :, -4:] = np.array(BACKGROUND, np.float32) / 255
    apart, told = match_colours(large, source, masked=True)
    together, _ = match_colours(large, source, masked=False)
    assert told
    corner = np.array(BACKGROUND, np.float32) / 255
    assert np.abs(apart[:, 0, 0] - corner).max() < 0.01 < np.abs(together[:, 0, 0] - corner).max()


def test_one_mapping_for_all_frames_cannot_flicker(clip):
    flat = np.repeat(floats(clip)[:1], 4, 0)
    flat[2] *= 0.9
    pooled, _ = match_colours(flat, clip.frames, pooled=True, masked=False)
    each, _ = match_colours(flat, clip.frames, pooled=False, masked=False)
    assert np.array_equal(pooled[0], pooled[1]) and np.abs(pooled[2] - pooled[0]).max() > 1e-3
    assert np.abs(each[2] - each[0]).mean() < np.abs(pooled[2] - pooled[0]).mean()


def test_the_background_comes_back_where_the_subject_cannot_be():
    size = 64
    mask = torch.zeros(1, 1, size, size)
    mask[..., 20:40, 20:40] = 1
    background = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    flow = identity_grid(size, size)[None].repeat(2, 1, 1, 1)
    flow[1, ..., 0] -= 10 * 2 / (size - 1)
    kept = Layers(mask, background).kept(flow)
    assert kept["alpha"].dtype == kept["plate"].dtype == torch.uint8 and kept["plate"].shape == (2, 3, size, size)
    drawn = torch.full((2, 3, size, size), 0.5)
    result = put_back(drawn, kept)
    assert (result[0, :, 20:40, 20:40] == 0.5).all() and (result[1, :, 20:40, 30:50] == 0.5).all()
    torch.testing.assert_close(result[1, :, :, :20], background[0, :, :, :20], atol=1 / 255, rtol=0)
    assert put_back(drawn, {}) is drawn
