"""Turned views: points found in them are turned back, and frames take the best view without needless leaps."""

import numpy as np
import torch

from motionkit.perception.turned import TURNS, angle, rotation, steadiest, turned


def test_what_is_found_in_a_turned_picture_is_turned_back_to_its_place():
    high, wide = 61, 81
    for spot in ((30, 20), (50, 40)):
        picture = torch.zeros(1, 1, high, wide)
        picture[0, 0, spot[1], spot[0]] = 1
        for view in range(TURNS):
            shown = turned(picture, angle(view))[0, 0]
            y, x = np.unravel_index(int(shown.argmax()), shown.shape)
            middle = torch.tensor([(wide - 1) / 2, (high - 1) / 2], dtype=torch.float64)
            back = rotation(angle(view)) @ (torch.tensor([x, y], dtype=torch.float64) - middle) + middle
            assert (back - torch.tensor(spot)).abs().max() < 1.1, (spot, view)


def test_the_first_view_is_the_picture_itself():
    picture = torch.rand(2, 3, 16, 20)
    assert torch.allclose(turned(picture, angle(0)), picture, atol=1e-5)


def test_a_spin_is_followed_and_a_single_leap_is_not():
    worth = np.zeros((TURNS, 9))
    worth[[0, 1, 2, 3, 4, 5, 6, 7, 0], range(9)] = 1
    assert steadiest(worth, 0.3) == [0, 1, 2, 3, 4, 5, 6, 7, 0], "from view to view, round the circle, costs nothing"
    worth = np.zeros((TURNS, 5))
    worth[0] = 1
    worth[4, 2] = 1.5
    assert steadiest(worth, 0.3) == [0, 0, 0, 0, 0], "three eighths too far, there and back: 1.8 for .5"
    assert steadiest(worth, 0.05) == [0, 0, 4, 0, 0]
    assert steadiest(worth[:, 2:3], 0.3) == [4], "a single frame has nothing to leap from"


def test_the_path_is_the_best_of_all_paths():
    rng = np.random.default_rng(0)
    worth, leap = rng.uniform(size=(TURNS, 4)), 0.15

    def total(path):
        apart = [abs(a - b) for a, b in zip(path, path[1:], strict=False)]
        return sum(worth[v, f] for f, v in enumerate(path)) - sum(leap * max(0, min(d, TURNS - d) - 1) for d in apart)

    best = max(total(path) for path in np.ndindex(*(TURNS,) * 4))
    assert np.isclose(total(steadiest(worth, leap)), best)
