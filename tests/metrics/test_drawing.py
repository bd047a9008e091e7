"""Ink that is where it should be, and how much a video moves."""

import numpy as np
import pytest

from motionkit import metrics
from motionkit.sprites import Motion, character, render_clip


def lines(seed=1, frames=3):
    return render_clip(character(seed, "horse"), Motion("walk"), frames, 96).lines(2)


def test_a_drawing_agrees_with_itself_and_less_the_further_it_is_moved():
    drawn = lines()
    values = [metrics.ink_overlap(np.roll(drawn, shift, axis=2), drawn) for shift in (0, 1, 4, 12)]
    assert values[0] == values[1] == 1 and values[1] > values[2] > values[3]
    assert metrics.ink_overlap(drawn[:, ::-1], drawn) == pytest.approx(metrics.ink_overlap(drawn, drawn[:, ::-1]))


def test_empty_pictures():
    drawn, empty = lines(), np.full_like(lines(), 255)
    assert metrics.ink_overlap(empty, empty) == 1 and metrics.ink_overlap(empty, drawn) == 0
    assert metrics.ink_overlap(drawn, np.zeros_like(drawn)) < 0.5  # ink everywhere is not the drawing
    with pytest.raises(ValueError, match="reach"):
        metrics.ink_overlap(drawn, drawn, reach=-0.1)


def test_motion_amount_is_zero_for_a_frozen_clip_and_grows_with_flicker():
    drawn = lines()
    assert metrics.motion_amount(np.repeat(drawn[:1], 4, 0)) == 0
    assert metrics.motion_amount(drawn) > 0
    noise = np.random.default_rng(0).normal(size=drawn.shape)
    assert metrics.motion_amount(np.clip(drawn / 255 + 0.2 * noise, 0, 1)) > metrics.motion_amount(drawn)
    with pytest.raises(ValueError, match="two frames"):
        metrics.motion_amount(drawn[:1])
