"""Line drawing or picture: decided from measures, on families of both that are made here."""

import subprocess
import sys

import numpy as np
import perception_makers as make
import pytest

from motionkit.perception.facts import measure
from motionkit.perception.ink import find_ink


def wrong(family, seeds, expected):
    """Names of those judged wrongly, and how many were judged."""
    made = [(f"{name} {seed}", measure(find_ink(picture))) for seed in seeds for name, picture in family(seed)]
    return [f"{name}: {facts.why}" for name, facts in made if facts.is_lines != expected], len(made)


def test_drawings_and_pictures_are_told_apart():
    bad, count = wrong(make.drawings, range(200, 203), True)
    worse, more = wrong(make.pictures, range(200, 203), False)
    assert len(bad) <= 0.05 * count, bad
    assert len(worse) <= 0.05 * more, worse


@pytest.mark.slow
def test_accuracy_on_many():
    bad, count = wrong(make.drawings, range(100, 120), True)
    worse, more = wrong(make.pictures, range(100, 120), False)
    print(f"drawings {1 - len(bad) / count:.3f} of {count}, pictures {1 - len(worse) / more:.3f} of {more}")
    print("\n".join(bad + worse))
    assert len(bad) <= 0.04 * count and len(worse) <= 0.04 * more


def test_measures_by_hand():
    page = np.full((256, 256, 3), 255, np.uint8)
    page[100:104, 28:228] = 0  # one stroke, 4 x 200 pixels
    facts = measure(find_ink(page, 64))
    assert facts.ink == pytest.approx(800 / 65536, rel=0.05) and facts.stroke == pytest.approx(4 / 256, abs=1 / 256)
    assert facts.thin == 1 and facts.fill == 0 and facts.greys == 0 and facts.unsteady < 0.1
    assert 25 < facts.length < 100 and facts.is_lines and "1.2% ink" in facts.why
    page[150:250, 50:150] = (200, 40, 40)
    assert not measure(find_ink(page, 64)).is_lines and measure(find_ink(page, 64)).fill > 0.1


def test_reading_a_drawing_loads_no_torch():
    code = "import sys, motionkit.perception.sketch, motionkit.perception.lineart; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
