"""Resampling in time and letterboxing, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionkit.media import Box, border_colour, from_frames, letterbox, resample, spills, steady, unletterbox
from motionkit.media.timing import on_grid, spread

HUNDREDTHS = np.rint(np.arange(11) * 12.5) / 100  # edges of ten frames at 8 a second, as a gif has them


def numbered(count, fps=8.0, times=None):
    """A clip whose frame i is filled with i."""
    frames = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3))
    return from_frames(frames, fps, times=times)


def ids(clip):
    return clip.frames[:, 0, 0, 0].tolist()


def test_resample_by_hand():
    assert ids(resample(numbered(10), frames=5)) == [0, 2, 4, 6, 8]
    assert ids(resample(numbered(3), frames=6)) == [0, 0, 1, 1, 2, 2]
    assert resample(numbered(10, fps=8), frames=5).fps == pytest.approx(4)  # duration is kept
    half = resample(numbered(10, fps=8), fps=4)
    assert ids(half) == [0, 2, 4, 6, 8] and half.fps == 4
    both = resample(numbered(10, fps=8), frames=2, fps=25)
    assert ids(both) == [0, 5] and both.fps == 25
    same = numbered(4)
    assert resample(same) is same and resample(same, frames=4) is same


def test_resample_respects_uneven_times():
    times, fps = spread(np.array([0.0, 0.1, 0.2, 0.7, 0.8]))
    clip = numbered(4, fps, times)
    assert ids(resample(clip, frames=8)) == [0, 1, 2, 2, 2, 2, 2, 3]
    assert resample(clip, frames=8).times is None


def test_a_frame_that_is_stored_once_for_two_moves_no_other_frame():
    times, fps = spread(np.delete(HUNDREDTHS, 4))
    clip = numbered(9, fps, times)
    wanted = [0, 1, 2, 3, 3, 4, 5, 6, 7, 8]
    assert ids(resample(clip, fps=8)) == wanted
    even = steady(clip)
    assert (ids(even), even.fps, even.times) == (wanted, pytest.approx(8), None)


def test_times_on_no_grid_stay_as_they_are():
    times, fps = spread(np.array([0.0, 0.1, 0.2, 0.73, 0.8]))
    clip = numbered(4, fps, times)
    assert times.tolist() == [0.0, 0.1, 0.2, 0.73] and steady(clip) is clip
    assert steady(same := numbered(4)) is same
    assert on_grid(edges := np.array([0.0, 0.0, 0.0, 0.5]))[0] is edges  # frames that are shown for no time


@settings(max_examples=60, deadline=None)
@given(gaps=st.lists(st.floats(0.01, 2.0), min_size=1, max_size=20), frames=st.integers(1, 60))
def test_resample_shows_what_is_on_screen(gaps, frames):
    edges = np.concatenate([[0.0], np.cumsum(gaps)])
    times, fps = spread(edges)
    clip = numbered(len(gaps), fps, times)
    out = resample(clip, frames=frames)
    assert len(out) == frames and out.duration == pytest.approx(clip.duration)
    chosen = ids(out)
    assert chosen[0] == 0 and chosen == sorted(chosen)
    starts = np.arange(len(gaps)) / fps if times is None else times
    for index, instant in zip(chosen, np.arange(frames) * clip.duration / frames, strict=True):
        end = starts[index + 1] if index + 1 < len(starts) else clip.duration
        assert starts[index] <= instant + 2e-6 and instant < end + 2e-6


@given(count=st.integers(1, 40), factor=st.integers(1, 5))
def test_repeating_then_thinning_gives_the_clip_back(count, factor):
    clip = numbered(count)
    assert ids(resample(resample(clip, frames=count * factor), frames=count)) == ids(clip)


@given(count=st.integers(1, 50), jitter=st.floats(0, 0.2))
def test_small_jitter_counts_as_even(count, jitter):
    edges = (
        np.arange(count + 1) + jitter * np.sin(np.arange(count + 1)) * (np.arange(count + 1) % (count or 1) > 0)
    ) / 8
    times, fps = spread(edges)
    assert fps == pytest.approx(count / (edges[-1] - edges[0])) and times is None


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"frames": -3}, {"fps": 0.0}, {"fps": float("nan")}])
def test_resample_refuses(wrong):
    with pytest.raises(ValueError):
        resample(numbered(3), **wrong)


@settings(max_examples=60, deadline=None)
@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), extra=st.integers(0, 20), axis=st.booleans())
def test_padding_alone_round_trips_exactly(size, extra, axis):
    rng = np.random.default_rng(extra)
    clip = from_frames(rng.integers(0, 256, (2, *size, 3), np.uint8))
    canvas = (size[0] + extra, size[1]) if axis else (size[0], size[1] + extra)
    boxed, box = letterbox(clip, *canvas)
    assert boxed.frames.shape == (2, *canvas, 3)
    assert (unletterbox(boxed.frames, box) == clip.frames).all()


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_letterbox_keeps_the_aspect_and_fills_one_side(height, width, to_height, to_width):
    boxed, box = letterbox(from_frames(np.full((1, height, width, 3), 7, np.uint8)), to_height, to_width)
    assert boxed.frames.shape == (1, to_height, to_width, 3) and (boxed.frames == 7).all()
    assert box.height == to_height or box.width == to_width
    assert unletterbox(boxed.frames, box).shape == (1, box.height, box.width, 3)
    scale = min(to_height / height, to_width / width)
    assert abs(box.height - height * scale) <= max(0.5, 1 - height * scale) + 1e-9
    assert abs(box.width - width * scale) <= max(0.5, 1 - width * scale) + 1e-9
    assert abs(2 * box.top + box.height - to_height) <= 1 and abs(2 * box.left + box.width - to_width) <= 1


def test_the_fill_is_the_clips_own_border_colour():
    frames = np.full((3, 20, 40, 3), (250, 240, 200), np.uint8)
    frames[:, 5:15, 10:30] = 0
    clip = from_frames(frames)
    assert border_colour(frames).tolist() == [250, 240, 200]
    boxed, box = letterbox(clip, 40, 40)
    assert (boxed.frames[:, :10] == (250, 240, 200)).all() and (box.top, box.height) == (10, 20)


def test_what_lies_outside_a_narrow_box_is_seen():
    narrow, wide = Box(24, 0, 16, 64, (64, 64), (32, 128)), Box(8, 0, 48, 64, (64, 64), (48, 64))
    frames = np.full((4, 64, 64, 3), 230, np.uint8)
    frames[:, 26:38, 20:40] = 10  # in both boxes
    assert not spills(frames, narrow) and not spills(frames, wide)
    frames[1:, 44:64, 30:36] = 10  # legs, below both
    assert spills(frames, narrow) and not spills(frames, wide)  # narrow bars of a network say nothing


def test_unletterbox_refuses_another_size():
    boxed, box = letterbox(numbered(2), 8, 8)
    with pytest.raises(ValueError, match="belongs to"):
        unletterbox(boxed.frames[:, :4], box)


def test_from_frames_refuses():
    for wrong in (np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 4), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)):
        with pytest.raises(ValueError):
            from_frames(wrong)
    with pytest.raises(ValueError):
        from_frames(np.zeros((1, 4, 4, 3), np.uint8), fps=float("inf"))


def test_a_still_picture_keeps_what_fitting_would_lose():
    page = np.full((40, 80, 3), 255, np.uint8)
    page[20] = 0
    fitted, _ = letterbox(from_frames(page), 16, 16)
    assert (fitted.original == page).all() and fitted.frames.min() > 100  # the line is all but gone
    again, _ = letterbox(fitted, 8, 8)
    assert (again.original == page).all()
    assert letterbox(from_frames(page), 40, 80)[0].original is None  # nothing was lost
    assert letterbox(numbered(2), 8, 8)[0].original is None  # a video would cost too much
    other = page.copy()
    other[20, ::2], other[21, ::2] = 255, 0  # the same picture when it is small: another drawing all the same
    twin, _ = letterbox(from_frames(other), 16, 16)
    assert twin.sha256 != fitted.sha256
