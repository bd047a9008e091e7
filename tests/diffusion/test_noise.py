"""Warped noise keeps its statistics; the figures are those of 64 x 64 white noise under a smooth random flow."""

import pytest
import torch
from torch.nn.functional import interpolate

from motionkit.diffusion.noise import MODES, shared_noise, warp_noise
from motionkit.diffusion.warp import identity_grid, resize_grid, warp

SIDE, FRAMES = 64, 24


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def smooth_flow(pixels, frames=FRAMES, seed=5, side=SIDE):
    """A random smooth displacement of about `pixels` RMS, as grids; borders kept still so that nothing leaves."""
    field = torch.randn(frames, 2, 8, 8, generator=seeded(seed))
    field[:, :, [0, -1]], field[:, :, :, [0, -1]] = 0, 0
    field = interpolate(field, (side, side), mode="bicubic", align_corners=True)
    field = field / field.pow(2).mean().sqrt() * pixels
    return identity_grid(side, side) + field.movedim(1, -1) * 2 / (side - 1)


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / (a.std() * b.std()))


def neighbours(x):
    """Mean correlation of a pixel with its right and its lower neighbour."""
    return (correlation(x[..., 1:], x[..., :-1]) + correlation(x[..., 1:, :], x[..., :-1, :])) / 2


@pytest.fixture(scope="module", params=[1.0, 3.0], ids=["1px", "3px"])
def warped(request):
    noise = torch.randn(FRAMES, 4, SIDE, SIDE, generator=seeded(1))
    grid = smooth_flow(request.param)
    return {mode: warp_noise(noise, grid, mode, seeded(2)) for mode in MODES}


@pytest.mark.parametrize(("mode", "std"), [("restore", 1.0), ("nearest", 1.0), ("renorm", 1.0), ("bilinear", 0.667)])
def test_standard_deviation(warped, mode, std):
    tolerance = 0.02 if mode != "bilinear" else 0.04
    inner = warped[mode][..., 8:-8, 8:-8]  # the flow comes to rest towards the borders
    assert float(inner.std()) == pytest.approx(std, rel=tolerance)
    if mode != "bilinear":
        assert float(warped[mode].std()) == pytest.approx(std, rel=tolerance)


def test_neighbour_correlations(warped):
    found = {mode: neighbours(warped[mode][..., 8:-8, 8:-8]) for mode in MODES}
    print({mode: round(value, 3) for mode, value in found.items()})
    assert found["bilinear"] == pytest.approx(0.26, abs=0.04) and found["renorm"] == pytest.approx(0.26, abs=0.04)
    assert 0.10 < found["restore"] < 0.20
    assert found["nearest"] < 0.12
    assert found["nearest"] < found["restore"] < found["bilinear"]


def test_restore_still_follows_the_motion(warped):
    inner = {mode: x[..., 8:-8, 8:-8] for mode, x in warped.items()}
    assert correlation(inner["restore"], inner["nearest"]) == pytest.approx(0.57, abs=0.08)


@pytest.mark.parametrize("mode", MODES)
def test_the_identity_flow_returns_exactly_the_input(mode):
    noise = torch.randn(3, 4, 33, 64, generator=seeded(0))
    grid = identity_grid(33, 64).expand(3, -1, -1, -1)
    assert torch.equal(warp_noise(noise, grid, mode, seeded(1)), noise)
    almost = grid + 4e-4 * 2 / 63  # under a thousandth of a pixel
    assert torch.equal(warp_noise(noise, almost, mode, seeded(1)), noise)


@pytest.mark.parametrize("mode", MODES)
def test_a_shift_by_whole_pixels_moves_every_value_and_fills_with_fresh_noise(mode):
    noise = torch.randn(2000, 1, 8, 16, generator=seeded(0))
    grid = (identity_grid(8, 16) + torch.tensor([5 * 2 / 15, 0])).expand(2000, -1, -1, -1)
    out = warp_noise(noise, grid, mode, seeded(1))
    assert torch.equal(out[..., :11], noise[..., 5:])
    fresh = out[..., 11:]
    assert float(fresh[0].std()) == pytest.approx(1, abs=0.35)
    assert (
        abs(correlation(fresh, noise[..., 11:])) < 0.05
        and abs(correlation(fresh, noise[..., 15:].expand_as(fresh))) < 0.05
    )


@pytest.mark.parametrize("mode", ["restore", "nearest", "renorm"])
def test_unit_variance_at_every_pixel_even_across_the_border(mode):
    """Per pixel over many draws, for a shift of (0.5, 2.3) pixels that leaves the picture on two sides."""
    grid = identity_grid(6, 6) + torch.tensor([0.5 * 2 / 5, 2.3 * 2 / 5])
    draws = torch.randn(1, 6000, 6, 6, generator=seeded(3))  # channels are the draws
    std = warp_noise(draws, grid[None], mode, seeded(4)).std(1)
    assert float((std - 1).abs().max()) < 0.06
    mean = warp_noise(draws, grid[None], mode, seeded(4)).mean(1)
    assert float(mean.abs().max()) < 0.07


def test_everything_outside_is_fresh_and_the_same_in_every_frame():
    noise = torch.randn(2, 4, 16, 16, generator=seeded(0))
    for mode in MODES:
        out = warp_noise(noise, torch.full((2, 16, 16, 2), 7.0), mode, seeded(1))
        assert torch.equal(out[0], out[1]) and float(out.std()) == pytest.approx(1, abs=0.1)
        assert abs(correlation(out, noise)) < 0.1


def test_the_added_noise_moves_with_the_content():
    """A half-pixel shift, then the same shift plus 3 whole pixels: the second frame is the first one, moved by 3."""
    noise = torch.randn(1, 4, 32, 32, generator=seeded(0))
    half, pixel = torch.tensor([0.5 * 2 / 31, 0]), torch.tensor([2 / 31, 0])
    grid = torch.stack([identity_grid(32, 32) + half, identity_grid(32, 32) + half + 3 * pixel])
    first, second = warp_noise(noise, grid, "restore", seeded(1))
    torch.testing.assert_close(second[..., 2:26], first[..., 5:29], rtol=1e-4, atol=1e-4)
    assert abs(correlation(second[..., 2:26], first[..., 2:26])) < 0.2


def test_diversity_mixes_in_a_field_that_is_shared_by_all_frames():
    noise = torch.randn(1, 4, 32, 32, generator=seeded(0))
    grid = identity_grid(32, 32).expand(5, -1, -1, -1)
    none, some, all_new = (warp_noise(noise, grid, "restore", seeded(1), diversity=d) for d in (0.0, 0.6, 1.0))
    assert float(some.std()) == pytest.approx(1, abs=0.03)
    assert correlation(some, none) == pytest.approx(0.8, abs=0.05)
    assert torch.equal(all_new[0], all_new[4]) and abs(correlation(all_new, none)) < 0.05


def test_seeds_decide_and_the_global_generator_is_left_alone():
    noise, grid = torch.randn(1, 4, 16, 16, generator=seeded(0)), smooth_flow(1.0, frames=2, side=16)
    state = torch.random.get_rng_state()
    a, b, c = (warp_noise(noise, grid, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_wrong_arguments():
    noise, grid = torch.zeros(1, 4, 8, 8), identity_grid(8, 8)[None]
    for bad in ({"mode": "cubic"}, {"diversity": 1.5}):
        with pytest.raises(ValueError):
            warp_noise(noise, grid, **{"generator": seeded(0)} | bad)
    with pytest.raises(ValueError, match="generator"):
        warp_noise(noise, grid)
    with pytest.raises(ValueError, match="size"):
        warp_noise(noise, identity_grid(4, 8)[None], generator=seeded(0))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_shared_noise(share):
    noise = shared_noise((6, 4, 64, 64), share, seeded(0))
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    assert correlation(noise[0], noise[3]) == pytest.approx(share, abs=0.03)
    with pytest.raises(ValueError):
        shared_noise((1, 1, 1, 1), 1.2, seeded(0))


def test_warp_and_grids():
    x = torch.rand(2, 3, 9, 12, generator=seeded(0))
    grid = identity_grid(9, 12)
    assert grid[0, 0].tolist() == [-1, -1] and grid[-1, 0].tolist() == [-1, 1] and grid[0, -1].tolist() == [1, -1]
    assert identity_grid(1, 5).shape == (1, 5, 2) and float(identity_grid(1, 5)[0, 0, 1]) == 0
    torch.testing.assert_close(warp(x, grid[None]), x, rtol=0, atol=1e-6)
    right = warp(x, (grid + torch.tensor([2 / 11, 0]))[None], "zeros")  # reads one pixel to the right
    torch.testing.assert_close(right[..., :-1], x[..., 1:], rtol=0, atol=1e-5)
    assert right[..., -1].abs().max() < 1e-5
    torch.testing.assert_close(
        warp(x, (grid + torch.tensor([2 / 11, 0]))[None])[..., -1], x[..., -1], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(warp(x[:1], torch.stack([grid, grid])), x[:1].expand(2, -1, -1, -1), rtol=0, atol=1e-6)


def test_resizing_a_grid():
    grid = identity_grid(8, 8)[None]
    torch.testing.assert_close(resize_grid(grid, 32, 24)[0], identity_grid(32, 24), rtol=0, atol=1e-6)
    by_value = resize_grid(grid, 32, 32, by="value")
    assert float(by_value[0, 0, 0, 0]) > -1.001 and not torch.allclose(by_value[0], identity_grid(32, 32), atol=0.05)
    with pytest.raises(ValueError):
        resize_grid(grid, 4, 4, by="area")
