"""The training loop of Animate-X: the toolkit's, with warm-up, two rates, and work shared by several processes.

`accelerate launch --num_processes N -m motionkit train ...` starts N processes; each takes its share of the batches,
gradients are averaged, and the first one writes. Started plainly, accelerate is not even imported.
"""

from __future__ import annotations

import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn

from motionkit.errors import Cancelled
from motionkit.media import replacing
from motionkit.training.loop import Loop, LoopSettings, LossFn

from .train_config import Recipe


class Workers:
    """The processes that share a training; one of them unless accelerate or torchrun started more."""

    def __init__(self, device: str = "cpu") -> None:
        self.accelerator: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import Accelerator, InitProcessGroupKwargs

            patience = InitProcessGroupKwargs(timeout=timedelta(days=2))  # while the first process encodes all clips
            self.accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[patience])

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.accelerator.process_index if self.accelerator else 0

    @property
    def world(self) -> int:
        """How many there are."""
        return self.accelerator.num_processes if self.accelerator else 1

    def wait(self) -> None:
        """Until all have come here."""
        if self.accelerator:
            self.accelerator.wait_for_everyone()

    def average(self, parameters: list[nn.Parameter]) -> None:
        """Give each parameter the mean of all processes' gradients."""
        if not self.accelerator:
            return
        for parameter in parameters:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self.accelerator.reduce(grad, "mean")


class AnimateLoop(Loop):
    """Stops between steps with its state saved; the rates follow the recipe."""

    def __init__(
        self, model: nn.Module, loss: LossFn, settings: LoopSettings, recipe: Recipe, workers: Workers
    ) -> None:
        self.recipe, self.workers = recipe, workers
        super().__init__(model, self._stoppable(loss), settings)

    def _stoppable(self, loss: LossFn) -> LossFn:
        def guarded(step: int) -> tuple[torch.Tensor, dict[str, float]]:
            try:
                return loss(step)
            except Cancelled as error:
                self.save()
                raise Cancelled(
                    f"stopped after step {step} of {self.settings.steps}; the same command goes on from there"
                ) from error

        return guarded

    def lr_at(self, step: int) -> float:
        """Linear warm-up, then the constant rate or a cosine to 2 % of it."""
        warm = min(1.0, (step + 1) / max(self.recipe.warmup, 1))
        if self.recipe.schedule == "constant":
            return self.settings.lr * warm
        done = min(1.0, step / max(self.settings.steps, 1))
        return self.settings.lr * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))

    def gather(self) -> None:
        """Average the gradients of all processes."""
        self.workers.average([p for group in self.optimizer.param_groups for p in group["params"]])

    def save(self) -> None:
        """The first process writes the state."""
        if self.workers.rank == 0:
            super().save()

    def resume(self) -> bool:
        """Load the last checkpoint; lines of the curve that come after it are taken away."""
        found, curve = super().resume(), self.settings.folder / "curve.csv"
        if curve.is_file() and self.workers.rank == 0:
            head, *lines = curve.read_text().splitlines()
            kept = [line for line in lines if int(line.split(",")[0]) <= self.step]
            with replacing(curve) as part:
                Path(part).write_text("\n".join([head, *kept]) + "\n")
        return found

    def _log(self, values: dict[str, float]) -> None:
        if self.workers.rank == 0:
            super()._log(values)
