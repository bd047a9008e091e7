"""Colour wheels, depth and masks: the properties that let one product carry correspondence and depth."""

import math

import pytest
import torch

from motionkit.diffusion.warp import identity_grid
from motionkit.errors import UserError
from motionkit.methods.vidmp3 import maps
from motionkit.methods.vidmp3.maps import build_maps, compose, wheel_on


def disc(height=48, width=64, x=32, y=24, radius=10):
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((xs - x) ** 2 + (ys - y) ** 2 <= radius**2).float()


def coloured(mask, kind="polar"):
    """The reference frame's own colours (1, 3, h, w)."""
    colours = wheel_on(mask, kind)(identity_grid(*mask.shape))
    return colours.permute(2, 0, 1)[None] * mask


@pytest.mark.parametrize("kind", ["polar", "uv1"])
def test_the_largest_channel_is_one_so_the_product_loses_nothing(kind, draw):
    colours = wheel_on(disc(), kind)(torch.rand(1000, 2, generator=draw) * 2 - 1)
    assert torch.equal(colours.amax(-1), torch.ones(1000)) and colours.min() >= 0
    depth = torch.rand(1000, 1, generator=draw) * 0.9 + 0.1
    product = colours * depth
    torch.testing.assert_close(product.amax(-1, keepdim=True), depth)
    torch.testing.assert_close(product / product.amax(-1, keepdim=True), colours)


def test_polar_is_a_hue_wheel_round_the_centroid():
    mask = disc(x=20, y=30)
    wheel = wheel_on(mask)
    centre = identity_grid(*mask.shape)[30, 20]
    torch.testing.assert_close(torch.tensor(wheel.centre), centre, atol=1e-6, rtol=0)
    step = torch.tensor([10 / 31.5, 10 / 23.5])  # the radius in x and in y: the wheel is round in pixels
    right, up, left = (wheel(centre + step * torch.tensor(d)) for d in ((1.0, 0.0), (0.0, -1.0), (-1.0, -1e-6)))
    for colour in (right, up, left):
        assert colour.min() == pytest.approx(1 - 0.8, abs=2e-3)  # saturation 0.8 at the rim
    assert wheel(centre).min() == pytest.approx(1 - 0.2, abs=1e-3)
    assert right.argmax() == 2 and left.argmax() == 1  # hue 255 degrees, and 102 just above the seam
    assert hue(up) == pytest.approx(102 + 306 * 0.25, abs=0.5) and hue(left) == pytest.approx(102, abs=0.5)


def hue(rgb):
    """Degrees, by the usual formula."""
    r, g, b = rgb.tolist()
    low, top = min(r, g, b), max(r, g, b)
    sector = (g - b, 0) if top == r else (b - r, 2) if top == g else (r - g, 4)
    return 60 * (sector[0] / (top - low) + sector[1]) % 360


def test_uv1_is_the_place_in_the_subjects_box():
    wheel = wheel_on(disc(), "uv1")
    grid = identity_grid(48, 64)
    corners = wheel(torch.stack([grid[14, 22], grid[34, 42], grid[24, 32]]))
    torch.testing.assert_close(corners, torch.tensor([[0, 0, 1], [1, 1, 1], [0.5, 0.5, 1]]), atol=1e-5, rtol=0)


def test_depth_keeps_its_order_across_frames_and_never_reaches_the_background():
    masks = disc()[None, None].expand(3, -1, -1, -1)
    depth = torch.full((3, 1, 48, 64), 50.0)
    for i, level in enumerate((2.0, 4.0, 8.0)):
        depth[i][masks[i] > 0] = level
    out = maps.normalise_depth(depth, masks)
    levels = [float(out[i][masks[i] > 0].mean()) for i in range(3)]
    assert levels == pytest.approx([0.1, 0.1 + 0.9 / 3, 1.0]) and not out[masks == 0].any()
    assert torch.equal(maps.normalise_depth(depth * 7 + 3, masks).round(decimals=4), out.round(decimals=4))


def test_a_stray_pixel_does_not_set_the_scale_of_depth():
    masks = disc(radius=16)[None, None]
    depth = torch.linspace(1, 2, 64).expand(1, 1, 48, 64).clone()
    usual = maps.normalise_depth(depth, masks)
    depth[0, 0, 24, 32] = 1e6
    assert (maps.normalise_depth(depth, masks) - usual).abs().flatten().sort().values[-2] < 0.01
    assert torch.equal(maps.normalise_depth(torch.full_like(depth, 3.0), masks), masks)


def test_flicker_of_the_whole_depth_map_is_taken_out(draw):
    masks = disc()[None, None].expand(4, -1, -1, -1)
    scene = torch.rand(1, 1, 48, 64, generator=draw) + 1
    scene = scene + masks * torch.tensor([0.0, 1.0, 2.0, 3.0]).view(4, 1, 1, 1)  # the subject comes nearer
    gain = torch.tensor([1.0, 1.3, 0.8, 1.1]).view(4, 1, 1, 1)
    shift = torch.tensor([0.0, 0.4, -0.2, 0.1]).view(4, 1, 1, 1)
    steady = maps.steady_depth(scene * gain + shift, masks)
    a, b = steady[masks > 0].view(4, -1).mean(1), scene[masks > 0].view(4, -1).mean(1)
    slope = (a[3] - a[0]) / (b[3] - b[0])
    torch.testing.assert_close((a - a[0]) / slope, b - b[0], atol=0.02, rtol=0)
    flat = torch.ones(2, 1, 8, 8)
    assert torch.equal(maps.steady_depth(flat, flat * 0), flat)


def test_specks_go_and_second_parts_stay():
    mask = disc(radius=10) + disc(x=8, y=8, radius=5) + disc(x=58, y=42, radius=1)
    out = maps.clean_masks(0.9 * mask[None, None])
    assert torch.equal(out[0, 0], disc(radius=10) + disc(x=8, y=8, radius=5))
    empty = maps.clean_masks(torch.stack([mask, mask * 0])[:, None])
    assert empty[0].any() and not empty[1].any()
    with pytest.raises(UserError, match="no subject found"):
        maps.clean_masks(torch.full((2, 1, 8, 8), 0.5))


def test_maps_come_to_working_size_with_clean_borders():
    mask = disc(radius=14)
    colours, depth = coloured(mask), 0.4 * mask[None, None] + 100 * (1 - mask)  # a far background that must not enter
    made = build_maps(colours, depth, mask[None, None], long_side=32)
    assert made.image.shape == (1, 3, 24, 32) and set(made.mask.unique().tolist()) == {0.0, 1.0}
    inside = made.mask[:, 0] > 0
    torch.testing.assert_close(made.image.amax(1)[inside], torch.full_like(made.image.amax(1)[inside], 0.4))
    assert not made.image.amax(1)[~inside].any()
    assert float(made.alpha) == pytest.approx(float(mask.mean()), rel=0.05)
    assert float(made.alpha) == float(made.mask.mean())  # at this resolution, not at the source's
    larger = build_maps(colours, depth, mask[None, None], long_side=128)
    assert larger.image.shape == (1, 3, 96, 128)


def test_maps_of_different_sizes_meet():
    mask = disc()[None, None]
    small = torch.nn.functional.interpolate(mask, (24, 32), mode="area")
    small = (small > 0.5).float()
    made = build_maps(coloured(small[0, 0]), mask * 0.5, mask)
    assert made.image.shape == (1, 3, 96, 128)
    assert made.image.amax(1)[made.mask[:, 0] > 0].median() == pytest.approx(0.5)


@pytest.mark.parametrize(("inputs", "channels"), [("product", 3), ("concat", 4), ("correspondence", 3), ("depth", 1)])
def test_every_input_of_the_ablation(inputs, channels, draw):
    c, d, m = torch.rand(2, 3, 6, 7, generator=draw), torch.rand(2, 1, 6, 7, generator=draw), torch.ones(2, 1, 6, 7)
    m[..., :3] = 0
    made = compose(c, d, m, inputs)
    assert made.shape == (2, channels, 6, 7) and not made[..., :3].any()
    expected = {"product": c * d, "concat": torch.cat([c, d], 1), "correspondence": c, "depth": d}[inputs]
    assert torch.equal(made, expected * m)


def test_bad_maps_are_named():
    mask = disc()[None, None]
    with pytest.raises(UserError, match="1, 1 and 2 frames"):
        build_maps(coloured(mask[0, 0]), mask, mask.repeat(2, 1, 1, 1))
    with pytest.raises(UserError, match="vanishes at 12x9"):
        build_maps(coloured(mask[0, 0]), mask, disc(radius=0)[None, None], long_side=12)
    with pytest.raises(UserError, match="first frame"):
        wheel_on(torch.zeros(8, 8))
    with pytest.raises(UserError, match="unknown colour map"):
        wheel_on(torch.ones(8, 8), "rainbow")
    with pytest.raises(UserError, match="unknown guide input"):
        compose(mask, mask, mask, "sum")


def test_lambda_follows_the_motion():
    diagonal = math.hypot(48, 64)
    slow = torch.stack([disc(x=20 + i)[None] for i in range(8)])
    fast = torch.stack([disc(x=12 + 5 * i)[None] for i in range(8)])
    assert maps.motion_size(slow) == pytest.approx(1 / diagonal, rel=0.01)
    assert maps.motion_size(fast) == pytest.approx(5 / diagonal, rel=0.01)
    assert maps.choose_lambda(slow) == 0.05 and maps.choose_lambda(fast) == 0.1
    growing = torch.stack([disc(radius=4 + 3 * i)[None] for i in range(6)])
    assert maps.choose_lambda(growing) == 0.1
    assert maps.motion_size(torch.zeros(3, 1, 8, 8)) == 0
