"""Grids and contact sheets hold every video at its place, labelled, and cut nothing off."""

import numpy as np
import pytest

from motionkit.report import Panel, contact_sheet, grid
from motionkit.report.tiles import _BAR, _GAP, LARGEST, SMALLEST, label_bar


def plain(colour, frames=4, height=200, width=300):
    return np.full((frames, height, width, 3), colour, np.uint8)


def test_grid_places_every_panel_and_keeps_its_frames_in_step():
    moving = plain(0)
    moving[:, ..., 0] = (np.arange(4) * 60)[:, None, None]
    video = grid([Panel("one", moving), Panel("two", plain((0, 0, 250))), Panel("still", plain((0, 250, 0), 1))])
    assert video.shape == (4, 200 + _BAR + 2 * _GAP, 3 * (300 + _GAP) + _GAP, 3) and video.dtype == np.uint8
    row = _GAP + _BAR + 100
    for index in range(4):
        assert video[index, row, _GAP + 150].tolist() == [60 * index, 0, 0]
        assert video[index, row, _GAP + 450 + _GAP].tolist() == [0, 0, 250]
        assert video[index, row, _GAP + 750 + 2 * _GAP].tolist() == [0, 250, 0]


@pytest.mark.parametrize("count, columns, rows", [(1, 1, 1), (4, 4, 1), (5, 3, 2), (7, 3, 3), (10, 4, 3)])
def test_grid_wraps(count, columns, rows):
    video = grid([Panel(str(i), plain(i)) for i in range(count)])
    assert video.shape[2] == columns * (300 + _GAP) + _GAP
    assert video.shape[1] == rows * (200 + _BAR + _GAP) + _GAP
    assert grid([Panel(str(i), plain(i)) for i in range(count)], columns=1).shape[2] == 300 + 2 * _GAP


def test_small_and_unequal_videos_are_fitted_without_stretching():
    wide, tall = plain((200, 0, 0), height=20, width=40), plain((0, 0, 200), height=40, width=20)
    video = grid([Panel("wide", wide), Panel("tall", tall)])
    assert video.shape[2] == 2 * (SMALLEST + _GAP) + _GAP
    red = (video[0] == (200, 0, 0)).all(-1)
    blue = (video[0] == (0, 0, 200)).all(-1)
    for mask, aspect in ((red, 2.0), (blue, 0.5)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (np.ptp(columns) + 1) / (np.ptp(rows) + 1) == pytest.approx(aspect, rel=0.03)


def test_large_videos_are_shrunk():
    video = grid([Panel("large", plain(9, 2, 700, 1400))])
    assert video.shape[1:3] == (LARGEST // 2 + _BAR + 2 * _GAP, LARGEST + 2 * _GAP)


def test_contact_sheet_shows_first_and_last_and_what_lies_between():
    frames = plain(0, frames=9)
    frames[:] = (np.arange(9) * 25)[:, None, None, None]
    sheet = contact_sheet([Panel("clip", frames)], picks=3)
    middle = sheet[_BAR + 100]
    levels = [int(v) for v in np.unique(middle[:, 0]) if v in (0, 100, 200)]
    assert levels == [0, 100, 200]


def test_labels_are_drawn_and_cut_when_too_long():
    assert (label_bar("anamodiff", 200) != label_bar("", 200)).any()
    assert label_bar("x" * 500, 100).shape == (_BAR, 100, 3)
    assert (label_bar("line\nbreak", 100) == label_bar("line break", 100)).all()
    label_bar("😀 ü 漢字", 120)  # no font has everything, but nothing breaks


def test_counts_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="number of frames"):
        grid([Panel("a", plain(0, 4)), Panel("b", plain(0, 5))])
    with pytest.raises(ValueError):
        contact_sheet([])
