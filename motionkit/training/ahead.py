"""Batches made ahead of the training by other processes, where rendering is slower than the network (a GPU)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Gives `make(step)`, which may only depend on the step; worker processes compute the next steps meanwhile.

    Args:
        make: a function that can be pickled, as can its results.
        workers: processes; 0 computes each step here, on demand.
        depth: how many steps to be ahead; twice the workers by default.
    """

    def __init__(self, make: Callable[[int], T], workers: int = 0, depth: int | None = None) -> None:
        self.make, self.depth = make, depth or 2 * workers
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) if workers else None
        self.coming: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """The result of a step; steps are expected in order, jumps are allowed."""
        if self.pool is None:
            return self.make(step)
        for known in [s for s in self.coming if not step <= s < step + self.depth]:
            self.coming.pop(known).cancel()
        for wanted in range(step, step + self.depth):
            if wanted not in self.coming:
                self.coming[wanted] = self.pool.submit(self.make, wanted)
        return self.coming.pop(step).result()

    def close(self) -> None:
        """End the processes."""
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
