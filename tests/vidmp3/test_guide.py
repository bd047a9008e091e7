"""MotionGuide: what makes it blind to the subject's size, and what it gives to whom."""

import functools

import pytest
import torch

from motionkit.errors import UserError
from motionkit.methods.vidmp3.guide import MotionGuide, MotionTrunk, encode_position, fill_gaps, masked_mean
from motionkit.methods.vidmp3.options import GuideOptions

SITES = {f"{width}.{i}": width for width, count in ((320, 10), (640, 10), (1280, 20)) for i in range(count)}


def square(scale, side=128, frames=1, seed=3):
    """The same textured square in the middle at another size: image (F, 3, h, w) and mask."""
    texture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    edge = round(32 * scale)
    low = (side - edge) // 2
    image, mask = torch.zeros(frames, 3, side, side), torch.zeros(frames, 1, side, side)
    inside = torch.nn.functional.interpolate(texture, (edge, edge), mode="bilinear")
    image[:, :, low : low + edge, low : low + edge] = inside
    mask[:, :, low : low + edge, low : low + edge] = 1
    return image, mask


@functools.cache
def size_change(scale, **options):
    """Relative change of the vector of a random net when the square is drawn at another size; mean of five nets."""
    changes = []
    for seed in range(5):
        torch.manual_seed(seed)
        net = MotionTrunk(GuideOptions(**options))
        if options.get("bias"):
            for layer in (net.stem[0], net.stem[2], net.stem[4], net.post):
                torch.nn.init.normal_(layer.bias, std=0.05)
        with torch.no_grad():
            once, other = net(*square(1.0)), net(*square(scale))
        changes.append(float((other - once).norm() / once.norm()))
    return sum(changes) / len(changes)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_size_does_not_change_the_vector_of_a_random_net(scale):
    assert size_change(scale) <= 0.30


@pytest.mark.parametrize("wrong", [{"mask_position": False}, {"bias": True}, {"divide": False}])
def test_each_of_the_three_rules_is_needed_for_that(wrong):
    assert max(size_change(0.5, **wrong), size_change(2.0, **wrong)) > 2 * max(size_change(0.5), size_change(2.0))


def test_no_biases_and_nothing_comes_from_nothing():
    guide = MotionGuide({"a": 8, "b": 8})
    assert not [name for name, _ in guide.named_parameters() if "bias" in name]
    mask = torch.zeros(2, 1, 32, 32)
    mask[:, :, 8:16, 8:16] = 1
    assert guide.trunk(torch.zeros(2, 3, 32, 32), mask).abs().max() > 0  # the position of the subject alone
    bare = MotionTrunk(GuideOptions(position=False))
    assert not bare(torch.zeros(2, 3, 32, 32), mask).any()


def test_the_background_adds_exactly_nothing(draw):
    """Far from the subject the features are zero, so a picture padded with more background pools to the same sum."""
    net = MotionTrunk()
    features = []
    image, mask = square(1.0)
    net.post.register_forward_hook(lambda module, args, out: features.append(out.detach()))
    net(image, mask)
    ring = torch.nn.functional.max_pool2d(mask, 4, 4)
    ring = torch.nn.functional.max_pool2d(ring, 7, 1, 3)  # the convolutions reach a little further
    assert not (features[0] * (1 - ring)).any() and (features[0] * ring).any()


def test_pooling_over_alpha_is_the_mean_over_the_subject(draw):
    features, mask = torch.randn(3, 5, 12, 9, generator=draw), (torch.rand(3, 1, 12, 9, generator=draw) > 0.7).float()
    expected = torch.stack([f[:, m[0] > 0].mean(1) for f, m in zip(features, mask, strict=True)])
    torch.testing.assert_close(masked_mean(features * mask, mask), expected)


def test_position_and_movement_reach_the_vector():
    image, mask = square(1.0, frames=2)
    image[1], mask[1] = image[1].roll(24, -1), mask[1].roll(24, -1)
    vectors = MotionTrunk()(image, mask)
    assert (vectors[1] - vectors[0]).norm() > 0.05 * vectors[0].norm()


def test_encoding_is_sines_of_place():
    plane = encode_position(3, 5, 16)
    assert plane.shape == (16, 3, 5)
    torch.testing.assert_close(plane[0, :, 0], torch.tensor([0.0, 0.0, 0.0]), atol=1e-5, rtol=0)  # sin of 0, pi, 2 pi
    torch.testing.assert_close(plane[4, :, 0], torch.tensor([1.0, -1.0, 1.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(plane[12, 0], torch.cos(2 * torch.pi * torch.linspace(0, 1, 5)), atol=1e-5, rtol=0)


def test_frames_without_the_subject_are_interpolated():
    seen = torch.tensor([False, True, False, False, True, False])
    vectors = torch.tensor([[9.0], [1.0], [9.0], [9.0], [4.0], [9.0]])
    assert fill_gaps(vectors, seen).flatten().tolist() == pytest.approx([1, 1, 2, 3, 4, 4])
    image, mask = square(1.0, frames=3)
    image[1], mask[1] = 0, 0
    vectors = MotionTrunk()(image, mask)
    torch.testing.assert_close(vectors[1], (vectors[0] + vectors[2]) / 2)
    with pytest.raises(ValueError, match="no frame"):
        MotionTrunk()(image * 0, mask * 0)


def test_sizes_of_the_heads():
    counts = {}
    for heads in ("per_width", "per_site", "shared"):
        with torch.device("meta"):
            guide = MotionGuide(SITES, GuideOptions(heads=heads))
        counts[heads] = sum(p.numel() for p in guide.parameters())
    trunk = sum(p.numel() for p in MotionTrunk().parameters())
    assert trunk == 93_024 + 192 * 256 * 9
    assert counts["per_width"] - trunk == 256 * (320 + 640 + 1280)
    assert counts["per_site"] - trunk == 256 * (3200 + 6400 + 25600)
    assert counts["shared"] - counts["per_site"] == 256 * 256


@pytest.mark.parametrize("heads", ["per_width", "per_site", "shared"])
def test_all_sites_get_zeros_at_first_and_something_after_one_step(heads):
    guide = MotionGuide({"x.attn1": 6, "x.attn2": 6, "y.attn1": 4}, GuideOptions(heads=heads))
    image, mask = square(1.0, frames=3)
    phi = guide(image, mask)
    assert {k: v.shape for k, v in phi.items()} == {"x.attn1": (3, 6), "x.attn2": (3, 6), "y.attn1": (3, 4)}
    assert not any(v.any() for v in phi.values())
    sum((v - 1).square().sum() for v in phi.values()).backward()
    assert not any(p.grad.any() for p in guide.trunk.parameters())  # behind zero heads
    torch.optim.Adam(guide.parameters(), 1e-2).step()
    guide.zero_grad()
    phi = guide(image, mask)
    assert all(v.any() for v in phi.values())
    sum((v - 1).square().sum() for v in phi.values()).backward()
    assert all(p.grad.any() for p in guide.parameters())


def test_first_weights_come_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (MotionGuide({"a": 4}, seed=s).trunk.post.weight for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "line"),
    [({"inputs": "dept"}, "did you mean 'depth'"), ({"heads": "x"}, "per_site"), ({"encoding": 6}, "multiple of 4")],
)
def test_wrong_options_are_named(options, line):
    with pytest.raises(UserError, match=line):
        GuideOptions(**options)


def test_a_map_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="4 channels"):
        MotionTrunk(GuideOptions(inputs="concat"))(*square(1.0))
