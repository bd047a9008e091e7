"""The rates' courses have the values that can be worked out by hand."""

import math

import pytest

from motionkit.training.schedule import SCHEDULES, constant, cosine, cosine_tail, falling, warmth


def test_constant_and_cosine():
    assert constant(0.0) == constant(1.0) == 1 and SCHEDULES == {"constant": constant, "cosine": cosine}
    assert cosine(0.0) == 1 and cosine(0.5) == pytest.approx(0.51) and cosine(1.0) == pytest.approx(0.02)


def test_falling_stays_and_then_falls():
    course = falling(0.2)
    assert course(0.0) == course(0.7) == 1 and course(0.9) == pytest.approx(0.5)
    assert course(1.0) == 0.02


def test_the_tail_is_half_a_cosine_down_to_zero():
    course = cosine_tail(0.2)
    assert course(0.0) == course(0.8) == 1 and course(0.9) == pytest.approx(0.5) and course(1.0) == pytest.approx(0)
    assert course(0.95) == pytest.approx(0.5 * (1 + math.cos(0.75 * math.pi)))


def test_warm_up_is_linear_and_may_be_left_out():
    assert [warmth(step, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert warmth(0, 0) == warmth(0, 1) == 1
