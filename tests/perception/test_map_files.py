"""Ready-made maps: every kind of file, fitted as the clip was, and one line for what is wrong."""

import numpy as np
import pytest
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import from_frames, letterbox, write_frames, write_video
from motionkit.perception import files


@pytest.fixture
def masks():
    out = np.zeros((3, 40, 60), bool)
    for i in range(3):
        out[i, 10:30, 10 + 5 * i : 30 + 5 * i] = True
    return out


def _white(masks):
    return np.repeat((masks * 255).astype(np.uint8)[..., None], 3, -1)


def test_masks_from_pictures_arrays_and_video(masks, tmp_path):
    write_frames(tmp_path / "pngs", _white(masks))
    np.save(tmp_path / "m.npy", masks)
    np.savez(tmp_path / "m.npz", masks=masks.astype(np.uint8) * 255, other=np.zeros(2))
    np.savez(tmp_path / "one.npz", anything=masks.astype(np.float32)[:, None])
    for name in ("pngs", "m.npy", "m.npz", "one.npz"):
        assert (files.read_masks(str(tmp_path / name), 3, 40, 60) == masks).all(), name
    write_video(tmp_path / "m.mp4", _white(masks), 8.0)
    assert (files.read_masks(str(tmp_path / "m.mp4"), 3, 40, 60) != masks).mean() < 0.02


def test_maps_are_fitted_as_the_clip_was(masks, tmp_path):
    """A mask of the source's size lies on the letterboxed clip as the source's own content does."""
    np.save(tmp_path / "m.npy", masks)
    grey = np.full((*masks.shape, 3), 20, np.uint8)
    grey[masks] = 255
    clip, _ = letterbox(from_frames(grey), 64, 64)
    wanted = clip.frames[..., 0] > 137
    found = files.read_masks(str(tmp_path / "m.npy"), 3, 64, 64)
    assert (found != wanted).mean() < 0.005 and found.any()


def test_points_are_fitted_in_place_and_in_value():
    """A point that says "the pixel where I am" says so in the larger frame as well."""
    y, x = np.mgrid[:40, :60]
    here = np.stack([x / 59 * 2 - 1, y / 39 * 2 - 1], -1).astype(np.float32)[None]
    found = files.letterbox_points(here, 80, 160)  # content 80 x 120 at left 20
    y, x = np.mgrid[:80, :160]
    there = np.stack([x / 159 * 2 - 1, y / 79 * 2 - 1], -1)
    inside = np.isfinite(found[0]).all(-1)
    assert inside[:, 20:140].all() and not inside[:, :20].any() and not inside[:, 140:].any()
    off = np.abs(found[0] - there)[inside] * [159 / 2, 79 / 2]
    assert off.max() < 1.01  # pixels: each takes its source cell's centre
    same = files.letterbox_points(here, 40, 60)
    assert np.allclose(same, here, atol=1e-6)


def test_depth_keeps_its_sixteen_bits(tmp_path):
    ramp = np.linspace(1000, 1500, 40 * 60).reshape(40, 60).astype(np.uint16)
    (tmp_path / "deep").mkdir()
    for i in (2, 10, 1):  # names in which 10 comes after 2
        Image.fromarray(ramp + 100 * i).save(tmp_path / "deep" / f"d{i}.png")
    found = files.read_depth(str(tmp_path / "deep"), 3, 40, 60)
    assert np.allclose(found, np.stack([ramp + 100 * i for i in (1, 2, 10)]))


def test_correspondence_as_points_and_colours(tmp_path, rng):
    points = rng.uniform(-1, 1, (2, 8, 8, 2)).astype(np.float32)
    points[:, :2] = np.nan
    np.savez(tmp_path / "p.npz", points=points)
    found = files.read_correspondence(str(tmp_path / "p.npz"), 2, 8, 8)
    assert found.colours is None and np.allclose(found.points, points, atol=1e-5, equal_nan=True)
    colours = rng.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    write_frames(tmp_path / "c", colours)
    found = files.read_correspondence(str(tmp_path / "c"), 2, 8, 8)
    assert found.points is None and np.allclose(found.colours, colours / 255, atol=1e-6)
    larger = files.read_correspondence(str(tmp_path / "c"), 2, 16, 16).colours
    assert {tuple(c) for c in larger.reshape(-1, 3)} == {tuple(c) for c in found.colours.reshape(-1, 3)}  # never mixed


def _bad(tmp_path):
    masks = np.zeros((3, 8, 8), bool)
    np.save(tmp_path / "ok.npy", masks)
    np.save(tmp_path / "flat.npy", masks[0])
    np.save(tmp_path / "text.npy", np.array(["a", "b", "c"]))
    np.save(tmp_path / "pickle.npy", np.array([{}, {}, {}]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=masks, b=masks)
    np.save(tmp_path / "nan.npy", np.full((3, 8, 8), np.nan))
    np.save(tmp_path / "far.npy", np.full((3, 8, 8, 2), 7.0))
    np.save(tmp_path / "five.npy", np.zeros((3, 8, 8, 5)))
    np.save(tmp_path / "bright.npy", np.full((3, 8, 8, 3), 2.0))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize(
    "read, name, told",
    [
        (files.read_masks, "nothing.npy", "masks: no file or folder"),
        (files.read_masks, "flat.npy", "it must be .frames, height, width."),
        (files.read_masks, "text.npy", "not numbers"),
        (files.read_masks, "pickle.npy", "not a usable array file"),
        (files.read_masks, "two.npz", "holds a, b: name the one array 'masks'"),
        (files.read_masks, "cut.npz", "not a usable array file"),
        (files.read_masks, "notes.txt", "is a text file"),
        (files.read_masks, "empty", "no png, jpg or webp"),
        (files.read_masks, "five.npy", "it must be .frames, height, width."),
        (files.read_depth, "nan.npy", "negative values or none"),
        (files.read_correspondence, "far.npy", "must be from -1 to 1"),
        (files.read_correspondence, "ok.npy", "give points .F, h, w, 2. or colours"),
        (files.read_correspondence, "bright.npy", "must be from 0 to 1"),
    ],
)
def test_what_is_wrong_is_one_line(read, name, told, tmp_path):
    _bad(tmp_path)
    with pytest.raises(UserError, match=told) as error:
        read(str(tmp_path / name), 3, 8, 8)
    assert "\n" not in str(error.value)


def test_another_number_of_frames_is_told(masks, tmp_path):
    np.save(tmp_path / "m.npy", masks)
    with pytest.raises(UserError, match="3 frame.* 5: .*frames=3"):
        files.read_masks(str(tmp_path / "m.npy"), 5, 40, 60)
