"""The sprite network's maps: any size in and out, matching by part and place, and how right the shipped one is."""

import numpy as np
import pytest
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.perception import pocket_maps as pm
from motionkit.sprites import Motion, character, render_clip
from motionkit.training.recipes.pocket_maps_figures import clip_of, measure
from motionkit.weights.small_nets import save_net

shipped = pytest.mark.skipif(not pm.weights_path().is_file(), reason="the weights are not in this checkout")


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return pm.PocketMaps(pm.MapsNet(), {})


def truth(clip):
    """What a faultless network would say of a clip."""
    return pm.PocketReading(clip.mask.astype(np.float32), clip.depth, clip.parts, clip.correspondence[..., 1:])


@pytest.mark.parametrize("shape", [(3, 128, 128), (2, 90, 160), (1, 300, 17), (1, 5, 9), (1, 1, 1)])
def test_any_size_comes_back_at_its_own(untrained, shape):
    frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    said = untrained.maps(frames)
    assert said.mask.shape == said.depth.shape == said.part.shape == shape and said.coordinates.shape == (*shape, 2)
    assert said.mask.dtype == said.depth.dtype == said.coordinates.dtype == np.float32 and said.part.dtype == np.int16
    off = said.mask <= 0.5
    assert (said.part[off] == -1).all() and (said.depth[off] == 0).all() and (said.coordinates[off] == 0).all()
    for values in (said.mask, said.depth, said.coordinates):
        assert values.min() >= 0 and values.max() <= 1
    assert set(np.unique(said.part[~off])) <= set(range(pm.PARTS))


def test_long_clips_are_read_in_blocks_and_alike(untrained):
    frames = np.random.default_rng(1).integers(0, 256, (pm._BATCH + 2, 32, 32, 3), dtype=np.uint8)
    whole, last = untrained.maps(frames), untrained.maps(frames[-1:])
    assert len(whole.mask) == pm._BATCH + 2
    assert np.abs(whole.mask[-1] - last.mask[0]).max() < 1e-5


@pytest.mark.parametrize("shape, kind", [((4, 4, 3), np.uint8), ((1, 4, 4, 3), float), ((0, 4, 4, 3), np.uint8)])
def test_what_is_no_video_is_refused(untrained, shape, kind):
    frames = np.zeros(shape, kind)
    with pytest.raises(ValueError, match="a video is"):
        untrained.maps(frames)


def test_places_of_two_parts_are_never_averaged():
    """Left half one bone at place 0.1, right half another at 0.9: enlarged, no pixel says anything between."""
    mask, depth = torch.full((1, 8, 8), 9.0), torch.full((1, 8, 8), 0.2)
    part, place = torch.full((1, pm.PARTS, 8, 8), -9.0), torch.full((1, 2, 8, 8), 0.1)
    part[:, 3, :, :4], part[:, 7, :, 4:] = 9.0, 9.0
    place[..., 4:], depth[..., 4:] = 0.9, 0.8
    seen, near, code, where = pm.enlarged(mask, depth, part, place, (30, 44))
    assert (seen > 0.99).all() and (code[..., :21] == 3).all() and (code[..., 23:] == 7).all()
    assert torch.allclose(where[code == 3], torch.tensor(0.1)) and torch.allclose(where[code == 7], torch.tensor(0.9))
    assert torch.allclose(near[code == 3], torch.tensor(0.2)) and torch.allclose(near[code == 7], torch.tensor(0.8))


@pytest.mark.parametrize("how", [{"near": 0, "rigid": False}, {}])
@pytest.mark.parametrize("kind", ["horse", "robot", "letter A", "flag"])
def test_true_codes_lead_to_the_true_places(kind, how):
    clip = render_clip(character(5, kind), Motion("walk", 0.1), 6)
    points = pm.match(truth(clip), **how)
    assert np.array_equal(np.isfinite(points).all(-1), clip.mask) and points.dtype == np.float32
    ys, xs = np.nonzero(clip.mask[0])
    assert np.abs(points[0, ys, xs] - np.stack([xs, ys], -1)).mean() < 0.5  # frame 0 matches itself
    places, valid = clip.flow(4, 0)
    use = valid & clip.mask[4]
    error = np.linalg.norm(points[4][use] - places[use], axis=-1)
    assert error.mean() < 1.2 and (error < 3).mean() > 0.95


def test_stiff_parts_mend_wrong_matches_and_so_does_nearness():
    """Places a tenth off at random, a fifth of the pixels wholly wrong: as a network errs."""
    clip, rng = render_clip(character(5, "horse"), Motion("run", 0.1), 6), np.random.default_rng(0)
    reading = truth(clip)
    noisy = reading.coordinates + rng.normal(0, 0.1, reading.coordinates.shape)
    lost = rng.uniform(size=clip.mask.shape) < 0.2
    noisy[lost] = rng.uniform(size=(int(lost.sum()), 2))
    reading = pm.PocketReading(reading.mask, reading.depth, reading.part, noisy.clip(0, 1).astype(np.float32))
    ways = {"plain": {"near": 0, "rigid": False}, "stiff": {"near": 0}, "near": {"near": 0.1, "rigid": False}}
    error = {}
    for name, how in ways.items():
        points, at = pm.match(reading, **how), [clip.flow(f, 0) for f in range(1, 6)]
        error[name] = np.mean(
            [
                np.linalg.norm(p - t, axis=-1)[v & m].mean()
                for p, (t, v), m in zip(points[1:], at, clip.mask[1:], strict=True)
            ]
        )
    assert error["stiff"] < 0.4 * error["plain"] and error["near"] < 0.9 * error["plain"]


def test_stiff_finds_a_turn_and_shift_by_hand():
    here = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [5, 5]], np.float32)
    there = np.array([[3, 3], [3, 4], [3, 5], [2, 3], [-2, 8]], np.float32)  # a quarter turn
    assert pm.stiff(here, there) == pytest.approx(there, abs=1e-5)
    many = np.random.default_rng(0).uniform(0, 20, (60, 2)).astype(np.float32)
    gone = many @ np.array([[0.0, 1.0], [-1.0, 0.0]], np.float32) + [4, 9]
    spoilt = gone.copy()
    spoilt[::6] += 12  # a sixth of the matches are wrong
    assert np.abs(pm.stiff(many, spoilt) - gone).max() < 0.6
    heap = np.full((60, 2), 7.0, np.float32)
    assert np.array_equal(pm.stiff(many, heap), heap)


def test_a_part_that_frame_0_hides_goes_where_its_neighbour_goes():
    part = np.full((2, 3, 6), -1, np.int16)
    part[0, 1, :3] = 0
    part[1, 1, 2:4], part[1, 1, 4:] = 0, 5  # bone 5 comes out to the right of bone 0
    place = np.zeros((2, 3, 6, 2), np.float32)
    place[0, 1, :3, 0] = 0.1, 0.2, 0.3
    place[1, 1, 2:4, 0] = 0.21, 0.29
    reading = pm.PocketReading((part >= 0).astype(np.float32), np.zeros(part.shape, np.float32), part, place)
    points = pm.match(reading, near=0)
    assert points[1, 1, 2:].tolist() == [[1, 1], [2, 1], [2, 1], [2, 1]]
    assert np.isnan(points[1, 0]).all() and points[0, 1, :3].tolist() == [[0, 1], [1, 1], [2, 1]]


def test_no_subject_to_refer_to_is_said_in_one_line():
    part = np.full((2, 4, 4), -1, np.int16)
    part[1, 1, 1] = 0
    reading = pm.PocketReading((part >= 0) * 1.0, np.zeros(part.shape), part, np.zeros((2, 4, 4, 2), np.float32))
    with pytest.raises(UserError, match="shows no subject"):
        pm.match(reading)


def test_weights_are_kept_and_foreign_files_refused(untrained, tmp_path):
    path = tmp_path / "maps.safetensors"
    save_net(path, untrained.net, {}, {"easy_iou": 0.5})
    again = pm.PocketMaps.load(path)
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    assert again.figures == {"easy_iou": 0.5}
    assert np.abs(again.maps(frames).mask - untrained.maps(frames).mask).max() < 0.01  # half precision
    with pytest.raises(MissingWeights, match="make train-pocket-maps"):
        pm.PocketMaps.load(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="usable pocket maps"):
        pm.PocketMaps.load(tmp_path / "bad.safetensors")


@shipped
def test_the_shipped_network_is_small():
    assert sum(p.numel() for p in pm.PocketMaps.load().net.parameters()) <= 600_000
    assert pm.weights_path().stat().st_size <= 1_200_000


@shipped
@pytest.mark.parametrize("group", ["easy", "full"])
def test_the_shipped_network_is_as_right_as_it_says(group):
    maps, got = pm.PocketMaps.load(), []
    for index in range(100, 106):  # not those that its figures were taken on
        clip = clip_of(group, index, 6)
        got.append(measure(maps.maps(clip.frames), clip))
    for name, slack in (("iou", -0.06), ("part", -0.15), ("median_px", 3.0)):
        mean, stated = float(np.mean([g[name] for g in got])), maps.figures[f"{group}_{name}"]
        assert (mean - (stated + slack)) * np.sign(slack) <= 0, (name, mean, stated)


@shipped
def test_another_size_and_shape_is_seen_as_well():
    clip = render_clip(character(5, "horse"), Motion("walk"), 2, 256)
    maps = pm.PocketMaps.load()
    wide = np.pad(clip.frames, ((0, 0), (0, 0), (100, 100), (0, 0)), mode="edge")
    for frames, mask in ((clip.frames, clip.mask), (wide, np.pad(clip.mask, ((0, 0), (0, 0), (100, 100))))):
        seen = maps.maps(frames).mask > 0.5
        assert (seen & mask).sum() / (seen | mask).sum() > 0.85
