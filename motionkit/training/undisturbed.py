"""A block inside a training that leaves every global generator as it was: looks at clips, and other people's code."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Python's, numpy's and torch's generators (of the CPU and of the current GPU) go on as if nothing had been."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    plain, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(arrays)
