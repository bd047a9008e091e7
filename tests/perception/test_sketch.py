"""Drawings as people have them come out black on white, where they were drawn, and wide enough to be seen."""

import cv2
import numpy as np
import perception_makers as make
import pytest
from PIL import Image

from motionkit import media
from motionkit.errors import UserError
from motionkit.perception.ink import find_ink, stroke_width
from motionkit.perception.sketch import SketchSettings, read_drawing


def dark(image, level=128):
    return image[..., 0] < level


def agreement(found, true, reach=2):
    """(precision, recall) of dark pixels, each within `reach` pixels of the other's."""
    near = np.ones((2 * reach + 1,) * 2, np.uint8)
    around = [cv2.dilate(m.astype(np.uint8), near).astype(bool) for m in (found, true)]
    return (found & around[1]).sum() / max(1, found.sum()), (true & around[0]).sum() / max(1, true.sum())


def at(page, side):
    """The page's ink at another size, as a mask: any pixel that a stroke touches well."""
    scale = side / max(page.shape[:2])
    size = (round(page.shape[1] * scale), round(page.shape[0] * scale))
    return cv2.resize((page.min(-1) < 128).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.25


@pytest.mark.parametrize("size, thickness", [(128, 2), (128, 4), (256, 2), (256, 6)])
def test_a_clean_drawing_comes_back_as_it_was(size, thickness):
    for seed in range(3):
        page = make.sprite(seed, size).lines(thickness)[0]
        drawing = read_drawing(page)
        assert drawing.kind == "lines" and drawing.notes["source"] == "drawing"
        assert np.abs(drawing.image.astype(int) - page).mean() < 2.5  # of 255
        assert (255.0 - drawing.image).sum() == pytest.approx((255.0 - page).sum(), rel=0.08)  # as much ink


CASES = {
    "photo": lambda rng, page: make.phone(rng, page),
    "hard shadow": lambda rng, page: make.phone(rng, page, 0.55, hard=True),
    "dark": lambda rng, page: make.phone(rng, page, 0.3, noise=9, tint=(0.45, 0.42, 0.38)),
    "pencil": lambda rng, page: make.phone(rng, make.pencil(rng, page), 0.3, noise=3),
    "chalkboard": lambda rng, page: make.chalk(rng, page),
    "ruled": lambda rng, page: make.phone(rng, make.ruled(page), 0.3, noise=3),
    "jpeg": lambda rng, page: make.jpeg(page, 40),
    "negative": lambda rng, page: 255 - page,
}


@pytest.mark.parametrize("case", CASES)
def test_strokes_are_found_under_any_light(case):
    for seed, kind in enumerate(("person", "house", "flower")):
        rng = np.random.default_rng(seed)
        page = make.doodle(rng, 480, 640, 4.0, kind=kind)
        drawing = read_drawing(CASES[case](rng, page), size=(192, 256))
        precision, recall = agreement(dark(drawing.image), at(page, 256))
        assert precision > 0.97 and recall > 0.97, (case, kind, precision, recall)
        assert drawing.kind == "lines" and drawing.notes["inverted"] == (case in ("chalkboard", "negative"))
        assert (drawing.image > 250).mean() > 0.85  # the paper is white


def test_a_table_around_the_sheet_is_left_out(rng):
    page = make.doodle(rng, 480, 640, 6.0, kind="face")
    photo = make.phone(rng, make.on_table(rng, page), 0.3)
    drawing = read_drawing(photo)
    true = np.zeros(photo.shape[:2], bool)
    top, left = (photo.shape[0] - 480) // 2, (photo.shape[1] - 640) // 2
    true[top : top + 480, left : left + 640] = page.min(-1) < 128
    precision, recall = agreement(dark(drawing.image), true, 3)
    assert precision > 0.97 and recall > 0.97 and 0.2 < drawing.notes["around_sheet"] < 0.5


def test_a_sheet_that_lies_askew(rng):
    page = make.doodle(rng, 600, 450, 6.0, kind="person")
    turn = cv2.getRotationMatrix2D((225, 300), 12, 0.75)
    true = cv2.warpAffine(255 - page, turn, (450, 600))[..., 0] > 128
    photo = cv2.warpAffine(make.phone(rng, page, 0.2), turn, (450, 600), borderValue=(60, 70, 90))
    precision, recall = agreement(dark(read_drawing(photo).image), true, 3)
    assert precision > 0.97 and recall > 0.97


@pytest.mark.parametrize("colour", [(200, 30, 30), (20, 60, 190), (250, 210, 0), (0, 160, 60)])
def test_any_colour_becomes_black(rng, colour):
    page = make.doodle(rng, thickness=3.0, colour=colour, kind="house")
    drawing = read_drawing(page)
    assert drawing.kind == "lines" and drawing.image.min() < 10
    assert (drawing.image[..., 0] == drawing.image[..., 2]).all()
    precision, recall = agreement(dark(drawing.image), page.min(-1) < 128, 1)
    assert precision > 0.99 and recall > 0.99


@pytest.mark.parametrize("side", [128, 256])
def test_thin_lines_of_a_large_scan_do_not_vanish(rng, side):
    page = make.doodle(rng, 1500, 2000, 2.0, kind="face")
    plain = cv2.resize(page, (side, side * 3 // 4), interpolation=cv2.INTER_AREA)
    image = read_drawing(page, size=(side * 3 // 4, side)).image
    true = at(page, side) | (plain[..., 0] < 245)
    for level, least in ((128, 0.9), (80, 0.6)):
        assert agreement(dark(plain, level), true, 0)[1] < 0.1  # shrinking alone loses them
        assert agreement(dark(image, level), plain[..., 0] < 220, 1)[1] > least
    assert 1.2 < stroke_width(find_ink(image).mask) / (max(find_ink(image).mask.shape) / side) < 2.6


@pytest.mark.parametrize("drawn", [2.0, 6.0, 14.0])
@pytest.mark.parametrize("wanted", [2.0, 4.0])
def test_thickness_normalises_every_stroke(rng, drawn, wanted):
    page = make.doodle(rng, 512, 512, drawn, kind="house")
    image = read_drawing(page, SketchSettings(source="drawing", thickness=wanted), size=(256, 256)).image
    ink = find_ink(image)
    assert ink.width / (max(ink.mask.shape) / 256) == pytest.approx(wanted, abs=0.8)
    reach = 2 + round(drawn / 4)
    precision, recall = agreement(dark(image), at(page, 256), reach)
    assert precision > 0.99 and recall > 0.97


def test_filled_areas_stay_filled():
    page = np.full((256, 256, 3), 255, np.uint8)
    cv2.circle(page, (128, 128), 90, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.circle(page, (128, 110), 22, (0, 0, 0), -1, cv2.LINE_AA)
    for settings in (SketchSettings(), SketchSettings(thickness=3.0)):
        image = read_drawing(page, settings).image
        assert (image[95:125, 115:141] == 0).all() and image[160, 128, 0] == 255


@pytest.mark.parametrize("shape, size", [((100, 300), (128, 128)), ((300, 90), (128, 192)), ((200, 200), (64, 256))])
def test_any_aspect_is_centred_as_letterbox_does(rng, shape, size):
    page = make.doodle(rng, *shape, thickness=3.0, kind="house")
    image = read_drawing(page, SketchSettings(source="drawing"), size=size).image
    fitted, box = media.letterbox(media.from_frames(page), *size)
    assert image.shape == (*size, 3)
    outside = np.ones(size, bool)
    outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    assert (image[outside] == 255).all()
    assert agreement(dark(image), dark(fitted.frames[0], 225), 1)[1] > 0.95


def test_transparent_files_of_both_colours(tmp_path, rng):
    page = make.doodle(rng, kind="person")
    alpha = 255 - page[..., :1]
    expected = read_drawing(page).image
    for name, ink in (("black", 0), ("white", 255)):
        rgba = np.concatenate([np.full_like(page, ink), alpha], -1)
        Image.fromarray(rgba).save(tmp_path / f"{name}.png")
        clip = media.read_clip(tmp_path / f"{name}.png")
        drawing = read_drawing(clip.frames[0])
        assert np.abs(drawing.image.astype(int) - expected).mean() < 1
        assert drawing.notes["inverted"] == (name == "white") == bool(clip.notes)


def test_the_original_of_a_fitted_scan_is_read(tmp_path, rng):
    page = make.doodle(rng, 1200, 1600, 2.0, kind="flower")
    media.write_image(tmp_path / "scan.png", page)
    fitted, _ = media.letterbox(media.read_clip(tmp_path / "scan.png"), 128, 128)
    image = read_drawing(fitted.original, size=(128, 128)).image
    assert dark(fitted.frames[0]).sum() < 20 < 200 < dark(image).sum()


def test_as_it_is_without_cleaning(rng):
    page = make.phone(rng, make.doodle(rng, 256, 256, 4.0, kind="house"), 0.3)
    drawing = read_drawing(page, SketchSettings(clean=False))
    assert (drawing.image == page).all() and drawing.notes["cleaned"] is False
    half = read_drawing(page, SketchSettings(clean=False), size=(128, 128)).image
    assert np.abs(half.astype(int) - cv2.resize(page, (128, 128), interpolation=cv2.INTER_AREA)).max() == 0


def said(frame, settings=None):
    with pytest.raises(UserError) as caught:
        read_drawing(frame, settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("source", ["auto", "drawing", "edges"])
def test_nothing_drawn_is_one_clear_line(rng, source):
    settings = SketchSettings(source=source)
    assert "empty" in said(np.full((64, 64, 3), 255, np.uint8), settings)
    assert "entirely black" in said(np.zeros((64, 64, 3), np.uint8), settings)
    assert "single colour" in said(np.full((64, 64, 3), (200, 30, 30), np.uint8), settings)
    assert "only 8 x 40 pixels" in said(np.zeros((40, 8, 3), np.uint8), settings)
    blank = make.phone(rng, np.full((384, 512, 3), 255, np.uint8))
    assert "nothing is drawn" in said(blank, settings)
    dust = np.full((128, 128, 3), 255, np.uint8)
    dust[20, 30] = dust[90, 41] = 0
    assert "nothing is drawn" in said(dust, settings)


def test_huge_arrays_and_huge_files(tmp_path):
    huge = np.broadcast_to(np.uint8(0), (9000, 9000, 3))
    assert "limit" in said(huge)
    Image.new("1", (12000, 11500), 1).save(tmp_path / "huge.png")  # above 134 megapixels
    with pytest.raises(UserError, match="over the limit"):
        media.read_clip(tmp_path / "huge.png")


def test_settings_are_checked(rng):
    page = make.doodle(rng)
    assert "did you mean 'edges'" in said(page, SketchSettings(source="edge"))
    assert "thickness=0" in said(page, SketchSettings(thickness=0.0))
    with pytest.raises(ValueError, match="uint8"):
        read_drawing(page[..., 0])
