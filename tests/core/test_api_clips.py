"""Clips as people have them in Python, and results as they want them."""

import base64
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

import motionkit
from motionkit import media
from motionkit.errors import UserError
from motionkit.report.text import in_notebook
from motionkit.running.given_clips import clip_of

RNG = np.random.default_rng(0)
VIDEO = RNG.integers(0, 256, (5, 12, 16, 3), dtype=np.uint8)
CHANNELS_FIRST = np.ascontiguousarray(VIDEO.transpose(0, 3, 1, 2))
PICTURES = [Image.fromarray(frame) for frame in VIDEO]


@pytest.mark.parametrize(
    "value",
    [
        VIDEO,
        CHANNELS_FIRST,
        VIDEO.astype(np.float32) / 255,
        VIDEO.astype(np.float64) / 255,
        torch.from_numpy(VIDEO),
        torch.from_numpy(CHANNELS_FIRST),
        torch.from_numpy(CHANNELS_FIRST).double().div(255).requires_grad_(),
        torch.from_numpy(CHANNELS_FIRST)[None],
        PICTURES,
        tuple(PICTURES),
        [PICTURES],
        list(VIDEO),
        list(torch.from_numpy(CHANNELS_FIRST).float() / 255),
    ],
)
def test_frames_in_any_form_are_one_clip(value):
    clip = clip_of(value, "driving", 12)
    assert np.array_equal(clip.frames, VIDEO) and clip.fps == 12 and clip.name == "driving" and not clip.is_image
    assert clip.sha256 == media.from_frames(VIDEO, 12.0).sha256


def test_files_of_pictures_are_one_clip(tmp_path):
    for index, picture in enumerate(PICTURES):
        picture.save(tmp_path / f"{index}.png")
    paths = sorted(tmp_path.glob("*.png"))
    for given in (paths, [str(path) for path in paths]):
        assert np.array_equal(clip_of(given, "driving").frames, VIDEO)
    with pytest.raises(UserError, match="nothing.png"):
        clip_of([tmp_path / "nothing.png"], "driving")


def test_a_rate_may_be_any_number_and_frames_without_one_have_eight():
    assert clip_of(VIDEO, "driving", Fraction(25, 2)).fps == 12.5
    assert (
        clip_of(VIDEO, "driving").fps == clip_of(VIDEO, "driving", "a").fps == 8
    )  # a text is refused with the request


def test_half_precision_is_near_enough():
    clip = clip_of((torch.from_numpy(CHANNELS_FIRST) / 255).to(torch.bfloat16), "driving")
    assert clip.fps == 8 and np.abs(clip.frames.astype(int) - VIDEO).max() <= 1


@pytest.mark.parametrize(
    "value", [PICTURES[0], VIDEO[0], torch.from_numpy(CHANNELS_FIRST[0]), VIDEO[:1], np.asarray(PICTURES[0]) / 255]
)
def test_one_picture(value):
    clip = clip_of(value, "reference")
    assert clip.is_image and np.array_equal(clip.frames, VIDEO[:1])


def test_transparent_and_grey_pictures_and_the_way_up():
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (255, 0, 0, 255)
    for value in (Image.fromarray(rgba), rgba, torch.from_numpy(rgba).permute(2, 0, 1)):
        frames = clip_of(value, "reference").frames
        assert (frames[0, 0, 0] == (255, 0, 0)).all() and (frames[0, 3, 3] == 255).all()
    assert clip_of(np.full((4, 6), 7, np.uint8), "reference").frames.shape == (1, 4, 6, 3)
    turned = Image.new("RGB", (6, 4))
    turned.getexif()[0x0112] = 6
    assert clip_of(turned, "reference").frames.shape == (1, 6, 4, 3)


def test_where_both_readings_are_possible_tensors_have_their_channels_first():
    square = np.zeros((2, 3, 5, 3), np.uint8)
    assert clip_of(square, "driving").frames.shape == (2, 3, 5, 3)
    assert clip_of(torch.from_numpy(square), "driving").frames.shape == (2, 5, 3, 3)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (3, "is a int: give a path"),
        (object(), "give a path"),
        ([], "empty list"),
        ([3], r"driving\[0\] is a int"),
        ([VIDEO, VIDEO], "several clips"),
        ([VIDEO[0], VIDEO[0, :6]], "several sizes"),
        (VIDEO.astype(np.int64), "holds int64"),
        (VIDEO.astype(np.float32), "0 to 1"),
        (VIDEO.astype(np.float32) / 127.5 - 1, "0 to 1"),
        (np.full((2, 8, 8, 3), np.nan), "0 to 1"),
        (np.zeros((2, 5, 7, 9), np.uint8), "3 colours"),
        (np.zeros((7,), np.uint8), "has the shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "has the shape"),
        (torch.zeros(2, 2, 3, 8, 8), "has the shape"),
    ],
)
def test_what_is_no_clip_is_refused_in_a_line(value, says):
    with pytest.raises(UserError, match=says) as caught:
        clip_of(value, "driving")
    assert "\n" not in str(caught.value)


def test_a_call_takes_them_and_its_result_is_a_clip_again(inputs):
    method = motionkit.load("warp", gpu="cpu")
    driving, picture = inputs.driving, Image.fromarray(inputs.reference.frames[0])
    plain = method(inputs.reference, driving, fps=6)
    result = method(picture, torch.from_numpy(driving.frames).permute(0, 3, 1, 2), fps=6)
    assert np.array_equal(result.frames, plain.frames)
    assert len(method(picture, result).frames) == len(result.frames)
    with pytest.raises(UserError, match="reference is a int"):
        method(3, driving)


def test_a_result_in_a_notebook(inputs):
    result = motionkit.load("warp", gpu="cpu")(inputs.reference, inputs.driving)
    pictures = result.to_pil()
    assert len(pictures) == len(result.frames) and np.array_equal(np.asarray(pictures[2]), result.frames[2])
    assert len(repr(result)) < 200 and "warp" in repr(result) and "32x24" in repr(result)
    page = result._repr_html_()
    video = base64.b64decode(re.search(r'src="data:video/mp4;base64,([^"]+)"', page)[1])
    assert video[4:8] == b"ftyp" and "autoplay" in page and "muted" in page
    result.alpha = np.zeros(result.frames.shape[:3], np.uint8)
    assert result.to_pil()[0].mode == "RGBA"


def test_a_large_video_is_a_picture_and_a_line_in_a_notebook():
    noise = RNG.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    page = in_notebook(noise, 8.0, "<a> & b", most=20_000)
    assert "<video" not in page and "data:image/png" in page and "save()" in page and "&lt;a&gt; &amp; b" in page
    assert "data:" not in in_notebook(noise, 8.0, "", most=100)
