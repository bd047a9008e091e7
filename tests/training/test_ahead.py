"""Batches that other processes make ahead are the ones that would have been made here."""

from functools import partial

import numpy as np

from motionkit.training.ahead import Ahead
from motionkit.training.recipes.captioned import pictures


def test_as_made_here():
    make = partial(pictures, 0, 2)
    here, there = Ahead(make), Ahead(make, workers=1, depth=2)
    try:
        for step in (0, 1, 5):  # a jump, as after a resumption
            for a, b in zip(here(step), there(step), strict=True):
                assert np.array_equal(a, b)
        assert set(there.coming) == {6}
    finally:
        there.close()
