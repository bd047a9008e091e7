"""The training loop of a LoRA: gathered gradients, constant or cosine rate, a stop that loses nothing."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from motionkit.errors import Cancelled
from motionkit.media import replacing
from motionkit.training.loop import Loop, LoopSettings, LossFn

from .train_config import Recipe


class _Given(torch.autograd.Function):
    """A value whose gradients are known already, so that the loop's own backward hands them on."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, out: Tensor) -> tuple[Any, ...]:
        return (None, None, *(out * g for g in ctx.gradients))


def gathered(
    losses: Iterator[Tensor], count: int, weights: list[nn.Parameter], scale: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """The mean of `count` losses with its gradient, each graph freed before the next is built.

    Gradients are taken of the loss times `scale`; where that overflows they count as zero, and the log says so.
    """
    total, sums = torch.zeros(()), [torch.zeros_like(w) for w in weights]
    for loss in losses:
        parts = torch.autograd.grad(loss * (scale / count), weights, allow_unused=True)
        for held, new in zip(sums, parts, strict=True):
            if new is not None:
                held += new / scale
        total = total + loss.detach().cpu() / count
    finite = all(bool(torch.isfinite(g).all()) for g in sums)
    if not finite:
        sums = [torch.zeros_like(g) for g in sums]
    value = _Given.apply(total, sums, *weights)
    return value, {"skipped": 0.0 if finite else 1.0} if scale != 1 else {}


class LoraLoop(Loop):
    """The toolkit's loop with a constant or cosine rate; it stops between steps, with its state saved."""

    def __init__(self, factors: nn.Module, loss: LossFn, settings: LoopSettings, recipe: Recipe, warmup: int) -> None:
        self.recipe, self.warmup, self.interrupted = recipe, warmup, False
        super().__init__(factors, self._stoppable(loss), settings)

    def _stoppable(self, loss: LossFn) -> LossFn:
        def guarded(step: int) -> tuple[Tensor, dict[str, float]]:
            try:
                if self.interrupted:
                    raise Cancelled("cancelled")
                return loss(step)
            except Cancelled as error:
                self.save()
                raise Cancelled(
                    f"stopped after step {step} of {self.settings.steps}; the same command goes on from there"
                ) from error

        return guarded

    def lr_at(self, step: int) -> float:
        """Linear warm-up, then the constant rate or a cosine to 2 % of it."""
        warm = min(1.0, (step + 1) / max(self.warmup, 1))
        if self.recipe.schedule == "constant":
            return self.settings.lr * warm
        done = min(1.0, step / max(self.settings.steps, 1))
        return self.settings.lr * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))

    def resume(self) -> bool:
        """Load the last checkpoint; lines of the curve that come after it are taken away."""
        found, curve = super().resume(), self.settings.folder / "curve.csv"
        if curve.is_file():
            head, *lines = curve.read_text().splitlines()
            kept = [line for line in lines if int(line.split(",")[0]) <= self.step]
            with replacing(curve) as part:
                part.write_text("\n".join([head, *kept]) + "\n")
        return found


@contextmanager
def interruptible(loop: LoraLoop) -> Iterator[None]:
    """Ctrl-C lets the step end and saves; a second one stops at once, and the last checkpoint stays as it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        loop.interrupted = True
        print("motionkit: stopping after this step (again: at once)", file=sys.stderr)
        for kind in before:
            signal.signal(kind, signal.default_int_handler)

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
