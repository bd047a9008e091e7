"""Frames strictly black on white, and the FlipSketch authors' own post-processing to the pixel."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from motionkit.errors import UserError
from motionkit.perception.sketch import binarise, binarise_parity

HERE = Path(__file__).parents[1] / "parity" / "goldens"


def golden():
    path = Path(os.environ.get("MOTIONKIT_GOLDENS") or HERE) / "flipsketch" / "a" / "postprocess.safetensors"
    if not path.is_file():
        pytest.skip(f"no golden {path.name}")
    return load_file(path)


def test_parity_with_the_authors_post_processing():
    recorded = golden()
    result = binarise_parity(recorded["frames_rgba"])
    assert result.shape == (2, 1024, 1024, 3) and result.dtype == np.uint8
    assert (result[..., 0] == result[..., 1]).all() and (result[..., 0] == result[..., 2]).all()
    assert (np.packbits(result[..., 0] == 255, axis=-1) == recorded["binary_packed"]).all()


def test_otsu_splits_each_frame_at_its_own_level(rng):
    frames = np.full((2, 40, 40, 3), 255, np.uint8)
    frames[0, 10:20], frames[0, 20:] = 60, 200  # split between 60 and 200
    frames[1], frames[1, 10:20] = 120, 40
    frames = (frames.astype(int) + rng.integers(-4, 1, frames.shape[:3])[..., None]).clip(0, 255).astype(np.uint8)
    result = binarise(frames)
    assert set(np.unique(result)) == {0, 255}
    black = np.zeros((40, 40), bool)
    black[10:20] = True
    assert ((result[0, ..., 0] == 0) == black).all() and ((result[1, ..., 0] == 0) == black).all()


def test_equals_opencv_on_plain_greys(rng):
    grey = cv2.GaussianBlur(rng.integers(0, 255, (64, 64)).astype(np.uint8), (0, 0), 3)
    grey = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    _, expected = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    assert (binarise(np.repeat(grey[None, ..., None], 3, -1))[0, ..., 0] == expected).all()


@pytest.mark.parametrize("level, plain", [(255, 255), (250, 255), (10, 0), (0, 0)])
def test_a_frame_without_contrast_stays_plain(rng, level, plain):
    frames = (level + rng.integers(-5, 6, (1, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    assert (binarise(frames) == plain).all()


def test_grey_keeps_soft_lines_drops_tints_and_whitens_the_paper():
    frames = np.full((2, 20, 20, 3), (245, 250, 255), np.uint8)
    frames[0, 5:8], frames[0, 8] = (30, 10, 10), (140, 150, 130)  # a line, and its soft border
    frames[1, :15] = 40  # mostly dark: no paper to whiten
    grey = binarise(frames, "grey")
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()
    assert (grey[0, 9:] == 255).all() and (grey[0, 5:8] < 25).all() and 130 < grey[0, 8, 0, 0] < 160
    assert (grey[1, :15] == 40).all() and (grey[1, 15:] == cv2.cvtColor(frames[1], cv2.COLOR_RGB2GRAY)[15, 0]).all()
    assert binarise(frames[:0], "grey").shape == (0, 20, 20, 3)


def test_none_and_unknown_methods(rng):
    frames = rng.integers(0, 255, (1, 8, 8, 3)).astype(np.uint8)
    assert (binarise(frames, "none") == frames).all()
    with pytest.raises(UserError, match="otsu"):
        binarise(frames, "ostu")
    with pytest.raises(ValueError, match="uint8"):
        binarise(frames / 255.0)
    with pytest.raises(ValueError, match="4"):
        binarise_parity(frames)
