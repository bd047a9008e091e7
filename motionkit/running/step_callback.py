"""A callback as diffusers has it, `callback(pipe, step, timestep, tensors)`, as a `Progress`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SAMPLING = ("denoise", "edit", "generate")  # stages whose steps make the result


class StepCallback:
    """Calls back at the end of each sampling step.

    It is given the step's number, its timestep, and {"latents": (B, C, F, h, w) float32} after the step; where it
    returns a dict with "latents" in it, the run goes on with those. A stage that does not walk a grid has neither:
    timestep is None and the dict empty. `owner._interrupt = True` stops the run, which raises `motionkit.Cancelled`.

    Args:
        owner: stands where diffusers has the pipeline.
    """

    def __init__(self, callback: Callable[[Any, int, Any, dict[str, Any]], Any], owner: Any) -> None:
        self.callback, self.owner, self.last, self.walked = callback, owner, 0, set[str]()
        owner._interrupt = False

    def start(self, stage: str, total: int) -> None:
        """A stage begins; its steps count from 0."""
        self.last = 0

    def on_latents(self, stage: str, done: int, latents: Any, timestep: float) -> Any:
        """Call back with the latents after a step; returns those to go on with."""
        if stage not in SAMPLING:
            return latents
        self.walked.add(stage)
        found = self.callback(self.owner, done - 1, timestep, {"latents": latents})
        return found.get("latents", latents) if isinstance(found, dict) else latents

    def step(self, stage: str, done: int, preview: Any = None) -> None:
        """Call back once for each step that is finished and was not told of yet."""
        for step in range(self.last, done if stage in SAMPLING and stage not in self.walked else 0):
            self.callback(self.owner, step, None, {})
        self.last = max(self.last, done)

    def end(self, stage: str) -> None:
        """Nothing."""

    def cancelled(self) -> bool:
        """Whether the callback has asked to stop."""
        return bool(self.owner._interrupt)
