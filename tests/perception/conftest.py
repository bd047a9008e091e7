"""What the tests of this room share: a seeded generator, and makers of drawings and pictures."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(0)
