"""The one training loop: AdamW (and Muon), a schedule, EMA weights, a CSV curve, and checkpoints that resume exactly.

Data must depend on the batch's number alone (`rng_of(name, seed, number)`), so that a resumed run sees what an
uninterrupted one would have seen. Several processes share the batches (workers.py).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from motionkit.errors import Cancelled, UserError
from motionkit.training import checkpoint, curve, state_files
from motionkit.training.command import arguments, write_record
from motionkit.training.loop_settings import LoopSettings
from motionkit.training.loss_scale import LossScale
from motionkit.training.muon import Muon
from motionkit.training.schedule import cosine, falling, warmth
from motionkit.training.stopping import stoppable
from motionkit.training.tracker import NullTracker, Tracker, Validate, due
from motionkit.training.undisturbed import undisturbed
from motionkit.training.workers import Workers

__all__ = [
    "Loop",
    "LoopSettings",
    "LossFn",
    "arguments",
    "stoppable",
    "write_record",
]  # state files and settings of the loop

WRITING = 20  # at least this many times the writing time lies between two checkpoints
LossFn = Callable[[int], tuple[torch.Tensor, dict[str, float]]]


class Loop:
    """Trains `model` (one module; wrap several in a ModuleDict) with a loss of the batch's number.

    `run()` returns the EMA copy in eval mode. It resumes from a checkpoint in the folder. Batch numbers are step
    numbers, unless steps have several batches or there are several processes.

    Args:
        workers: the processes that share the training; None: this one alone.
        tracker: receives the values of every step, in the first process.
        before: called with each step's number before it begins; one that raises `Cancelled` stops the training with
            its state saved.
        validate: shows what the averaged weights make of held-out clips, to a tracker that asks for it.
        scale: of the loss, for a network that computes in float16: a step whose gradients overflow is skipped.

    Attributes:
        writing: seconds that the last checkpoint took.
        step, seconds: how far the training is.  begun: the step at which the optimisers began without a state.
        stopping: set it, and `run` ends after the step with its state saved.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: LossFn,
        settings: LoopSettings,
        *,
        workers: Workers | None = None,
        tracker: Tracker | None = None,
        before: Callable[[int], None] | None = None,
        scale: LossScale | None = None,
        validate: Validate | None = None,
    ) -> None:
        self.model, self.loss, self.settings = model, loss, settings
        self.workers, self.before, self.scale = workers or Workers(), before, scale or LossScale()
        self.validate = validate
        self.tracker: Tracker = tracker if tracker and not self.workers.rank else NullTracker()
        self.schedule = settings.schedule or (cosine if settings.decay is None else falling(settings.decay))
        self.ema = copy.deepcopy(model).requires_grad_(False).eval()
        s = settings
        groups: dict[float, list[nn.Parameter]] = {}
        matrices: dict[float, list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                taken = s.muon is not None and parameter.ndim >= 2 and s.muon(name)
                (matrices if taken else groups).setdefault(s.scale(name) if s.scale else 1.0, []).append(parameter)
        self.factors = list(groups)
        self.muon_factors = list(matrices)
        self.muon = Muon([{"params": p} for p in matrices.values()], s.muon_lr) if matrices else None
        self.optimizer = torch.optim.AdamW(
            [{"params": p} for p in groups.values()], s.lr, betas=s.betas, weight_decay=s.weight_decay, fused=s.fused
        )
        self.learning = [p for held in (*groups.values(), *matrices.values()) for p in held]
        self.step, self.seconds, self.begun, self.stopping, self.writing = 0, 0.0, 0, False, 0.0
        s.folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path | None:
        """The file or index with the whole state of the run, if there is one."""
        return state_files.found(self.settings.folder)

    def lr_at(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then the schedule."""
        s = self.settings
        return s.lr * warmth(step - self.begun, s.warmup) * self.schedule(min(1.0, step / max(s.steps, 1)))

    def save(self) -> None:
        """Write the whole state under temporary names, then rename it; of several processes only the first writes."""
        if not self.workers.rank:
            checkpoint.write(self, self.settings.folder)
            if self.settings.second:
                checkpoint.copy_to(self.settings.second, self.settings.folder)

    def resume(self) -> bool:
        """Load the last checkpoint if there is one; later lines of the curve are removed.

        Raises:
            UserError: the checkpoint belongs to another model.
        """
        found = self.checkpoint
        if found:
            checkpoint.read(self, found)
        self._trim()
        return found is not None

    def _trim(self) -> None:
        if (
            not self.workers.rank and not self.begun
        ):  # a training that was handed over counted its first steps differently
            curve.trim(self.settings.folder / "curve.csv", self.step)

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.settings.steps

    def run(self, until: int | None = None) -> nn.Module:
        """Train up to step `until` (default: all steps), or to the end of the step in which `stopping` is set.

        Raises:
            Cancelled: `before` or the loss asked for a stop; the state is saved.
            UserError: the loss or its gradient became NaN or infinite.
        """
        self.resume()
        stop = min(until or self.settings.steps, self.settings.steps)
        begun, saved, sums, count = time.monotonic(), time.monotonic(), {}, 0
        base = self.seconds
        self.model.train()
        try:
            while self.step < stop and not self._stops():
                values = self._take_step()
                for key, value in values.items():
                    sums[key] = sums.get(key, 0.0) + float(value)
                count += 1
                self.seconds = base + time.monotonic() - begun
                self.tracker.on_step(self.step, {"lr": self.lr_at(self.step - 1)} | values)
                self._show()
                if self.step % self.settings.log_every == 0:
                    self._log({k: v / count for k, v in sums.items()})
                    sums, count = {}, 0
                if self._due(saved):
                    began = time.monotonic()
                    self.save()
                    saved = time.monotonic()
                    self.writing = saved - began
        except Cancelled as error:
            self.save()
            raise self._cancelled() from error
        finally:
            self.tracker.on_end()
        self.save()
        self.workers.share(self.ema.buffers())  # running means are each process's own
        return self.ema.eval()

    def _show(self) -> None:
        """Let the tracker look at held-out clips, where it is time; no draw of it is one of the training's."""
        told: Any = self.tracker
        if self.validate and due(told, self.step, self.settings.steps):
            with undisturbed():
                shown = self.validate(self.ema)
            told.on_validation(self.step, shown)

    def _due(self, saved: float) -> bool:
        """Whether a checkpoint is written after this step: by time, which its own writing stretches, or by step."""
        s = self.settings
        waited = time.monotonic() - saved > max(s.save_every, WRITING * self.writing)
        return waited or (s.save_steps > 0 and self.step % s.save_steps == 0)

    def to_the_end(self) -> nn.Module:
        """Run all steps; Ctrl-C, SIGTERM or a cancelling `before` stops after the step, with the state saved.

        Raises:
            Cancelled: it was stopped, even if in the last step; the same call resumes.
        """
        with stoppable(self):
            trained = self.run()
        if self.workers.any(self.stopping):
            raise self._cancelled()
        return trained

    def _cancelled(self) -> Cancelled:
        return Cancelled(f"stopped after step {self.step} of {self.settings.steps}; the same command resumes")

    def _stops(self) -> bool:
        """Whether the training stops before the next step; the same answer in all processes.

        Raises:
            Cancelled: `before` asked for it here or in another process.
        """
        asked, cancelled = self.stopping, None
        if not asked and self.before:
            try:
                self.before(self.step)
            except Cancelled as error:
                cancelled = error
        if not self.workers.any(asked or cancelled is not None):
            return False
        self.stopping = True
        if self.workers.any(cancelled is not None):
            raise Cancelled("cancelled") from cancelled
        return True

    def _take_step(self) -> dict[str, float]:
        """One step of the optimisers; returns the loss and the loss's own values."""
        self._set_rates()
        self.model.zero_grad(set_to_none=True)  # before the loss, which may add gradients itself
        values = self._gradients()
        self.workers.average(self.learning)
        self.scale.unscale(self.learning)
        finite = self._clip()
        if not self.scale.update(finite):
            raise UserError(
                f"training diverged at step {self.step} (its gradient is NaN or infinite): lower the learning rate"
            )
        if finite:
            self.optimizer.step()
            if self.muon:
                self.muon.step()
        self.step += 1
        if finite:
            self._average()
        return values | ({"skipped": float(not finite)} if self.scale.dynamic else {})

    def _gradients(self) -> dict[str, float]:
        """Add up the gradients of this process's share of the step's batches; returns their mean values."""
        count, values = self.settings.accumulate, {}
        for turn in range(count):
            number = (self.step * count + turn) * self.workers.world + self.workers.rank
            loss, logs = self.loss(number)
            if not torch.isfinite(loss):
                raise UserError(f"training diverged at step {self.step} (loss {loss.item()}): lower the learning rate")
            scaled = loss * self.scale.value if self.scale.dynamic else loss
            (scaled / count if count > 1 else scaled).backward()
            for key, value in {"loss": loss.item(), **logs}.items():
                values[key] = values.get(key, 0.0) + float(value) / count
        return values

    def _clip(self) -> bool:
        """Clip the gradients; returns whether all are finite, if that is checked."""
        if not math.isfinite(self.settings.clip) and not self.scale.dynamic:
            return True
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        return bool(torch.isfinite(norm))

    def _set_rates(self) -> None:
        rate = self.lr_at(self.step)
        for group, factor in zip(self.optimizer.param_groups, self.factors, strict=True):
            group["lr"] = rate * factor
        for group, factor in zip(self.muon.param_groups if self.muon else (), self.muon_factors, strict=True):
            group["lr"] = rate / self.settings.lr * self.settings.muon_lr * factor

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        means, nows = list(self.ema.parameters()), list(self.model.parameters())
        if means:
            torch._foreach_lerp_(means, nows, 1 - decay)
        for mean, now in zip(self.ema.buffers(), self.model.buffers(), strict=True):
            mean.copy_(now)

    def _log(self, values: dict[str, float]) -> None:
        if not self.workers.rank:
            curve.add_line(self.settings.folder / "curve.csv", self.step, self.seconds, values)
