"""Drawings have pens, hands and fills of their own, the same in all frames of a clip, and keep the figure in place."""

import numpy as np

from motionkit.sprites.kinds import rng_of
from motionkit.training.recipes.drawings import UNSTEADY, drawn
from motionkit.training.recipes.sprite_batches import clips


def _ink(frames):
    return (255 - frames.astype(float)).sum((1, 2, 3))


def test_drawings_differ_and_repeat():
    clip = clips("drawing test", 0, 0, 1, frames=3)[0]
    all_ink = []
    for i in range(12):
        frames = drawn(clip, rng_of(i))
        assert frames.shape == clip.frames.shape and frames.dtype == np.uint8
        assert np.array_equal(frames, drawn(clip, rng_of(i)))
        ink = _ink(frames)
        assert ink.max() < 1.5 * ink.min()  # the same pen in every frame
        assert (frames[:, :4] > 250).all()  # the paper stays white
        all_ink.append(ink.mean())
    assert max(all_ink) > 2 * min(all_ink)


def test_the_hand_strays_little():
    clip = clips("drawing test", 0, 0, 1)[0]
    line = clip.lines(4)[0, ..., 0] < 128
    near = np.zeros_like(line)
    reach = int(UNSTEADY) + 3
    for y, x in np.argwhere(line):
        near[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
    for i in range(6):
        dark = drawn(clip, rng_of("stray", i))[0, ..., 0] < 100
        assert (near | (clip.parts[0] >= 0))[dark].mean() > 0.99
