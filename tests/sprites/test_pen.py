"""Drawings by hand: what a pen may do, that it is reproducible, and the twelve fixed drawings of the foreign style."""

import json
from dataclasses import replace

import numpy as np
import pytest

from motionkit.cli import main
from motionkit.media import read_clip
from motionkit.sprites import Motion, character, render_clip
from motionkit.sprites.foreign_drawings import foreign_drawings
from motionkit.sprites.pen import Pen, hand_pen


@pytest.fixture(scope="module")
def clip():
    return render_clip(character(3, "horse"), Motion("walk"), 3)


def ink(frames):
    return float((frames < 128).mean())


def test_a_wider_pen_leaves_more_ink_and_the_width_is_in_pixels(clip):
    thin, wide = (ink(clip.lines(pen=Pen(width))) for width in (1.0, 3.0))
    assert 1.8 < wide / thin < 4.5
    column = clip.lines(pen=Pen(3.0))[0, :, 64, 0] < 128  # through back and belly: runs of ink about 3 pixels long
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], column.astype(int), [0]]))))[::2]
    assert 2 <= np.median(runs) <= 5


def test_a_drawing_is_black_on_white_and_reproducible(clip):
    pen = hand_pen(np.random.default_rng(4))
    first, again = (clip.lines(pen=pen) for _ in range(2))
    assert first.shape == clip.frames.shape and first.dtype == np.uint8 and np.array_equal(first, again)
    assert (first[..., 0] == first[..., 1]).all() and (first > 240).mean() > 0.6


def test_a_boiling_contour_is_drawn_anew_and_a_still_one_moves_with_its_part():
    still = render_clip(character(3, "horse"), Motion("walk", amplitude=0.0), 2)
    steady = still.lines(pen=Pen(2.0, shake=0.8))
    assert np.array_equal(steady[0], steady[1])
    shifted = replace(still, matrices=np.concatenate([still.matrices[:1], still.matrices[:1] + 0.2 * _right()]))
    drift = [
        np.abs(np.diff(shifted.lines(pen=Pen(2.0, shake=0.8, boil=b)).astype(int), axis=0)).mean()
        for b in (False, True)
    ]
    assert drift[1] > 2 * drift[0]


def _right():
    out = np.zeros((1, 1, 2, 3))
    out[..., 0, 2] = 1
    return out


def test_gaps_take_ink_away_and_fills_add_some(clip):
    plain = ink(clip.lines(pen=Pen(2.0, shake=0.3)))
    assert ink(clip.lines(pen=Pen(2.0, shake=0.3, gaps=0.2))) < 0.95 * plain
    assert ink(clip.lines(pen=Pen(2.0, shake=0.3, filled=0.9))) > 1.1 * plain


def test_twelve_foreign_drawings_with_prompts_and_true_clips():
    drawings = foreign_drawings(64, 3)
    assert len({d.name for d in drawings}) == len(drawings) == 12
    assert len({d.prompt.split()[4] for d in drawings}) == 12, "of twelve kinds"
    for drawing in drawings:
        assert drawing.clip.character.setting == "foreign" and drawing.prompt.startswith("a drawing of a")
        assert drawing.frames.shape == (3, 64, 64, 3) and np.array_equal(drawing.picture, drawing.frames[0])
        assert 0.01 < ink(drawing.picture) < 0.35
    assert any("an elephant" in d.prompt for d in drawings)


def test_the_command_writes_them_and_draws_by_hand(tmp_path):
    assert main(["sprites", "what=foreign-drawings", f"output={tmp_path / 'f'}", "size=64", "frames=2"]) == 0
    said = json.loads((tmp_path / "f" / "prompts.json").read_text())
    assert len(list((tmp_path / "f").glob("*.png"))) == len(list((tmp_path / "f").glob("*.gif"))) == len(said) == 12
    options = ["lines=4-6", "count=2", "frames=2", "size=64"]
    for pen in ("ruler", "hand"):
        assert main(["sprites", f"output={tmp_path / pen}", f"pen={pen}", *options]) == 0
    drawn = [read_clip(sorted((tmp_path / pen).glob("*.gif"))[0]).frames for pen in ("ruler", "hand")]
    assert drawn[0].shape == drawn[1].shape and not np.array_equal(*drawn)
    assert main(["sprites", f"output={tmp_path / 'x'}", "pen=brush", *options]) == 2
