"""A callback as diffusers has it, `callback(pipe, step, timestep, tensors)`, as a `Progress`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SAMPLING = ("denoise", "edit", "generate")  # stages whose steps make the result


class StepCallback:
    """Calls back at the end of each sampling step.

    A method's tensors are not handed out: `timestep` is None and the last argument is empty, and what the callback
    returns changes nothing. `owner._interrupt = True` stops the run, which raises `motionkit.Cancelled`.

    Args:
        owner: stands where diffusers has the pipeline.
    """

    def __init__(self, callback: Callable[[Any, int, Any, dict[str, Any]], Any], owner: Any) -> None:
        self.callback, self.owner, self.last = callback, owner, 0
        owner._interrupt = False

    def start(self, stage: str, total: int) -> None:
        """A stage begins; its steps count from 0."""
        self.last = 0

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Call back once for each step that is finished."""
        for step in range(self.last, done if stage in SAMPLING else 0):
            self.callback(self.owner, step, None, {})
        self.last = max(self.last, done)

    def end(self, stage: str) -> None:
        """Nothing."""

    def cancelled(self) -> bool:
        """Whether the callback has asked to stop."""
        return bool(self.owner._interrupt)
