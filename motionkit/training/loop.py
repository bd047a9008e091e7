"""The one training loop: AdamW (and Muon), a schedule, EMA weights, a CSV curve, and checkpoints that resume exactly.

Data must depend on the step number alone (`rng_of(name, seed, step)`), so that a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training.muon import Muon

LossFn = Callable[[int], tuple[torch.Tensor, dict[str, float]]]


@dataclass
class LoopSettings:
    """How long and how fast to train.

    Attributes:
        folder: checkpoints and the curve go here.
        steps: optimiser steps in all.
        lr: peak learning rate; 100 warm-up steps, then cosine to 2 % of it.
        betas, weight_decay, clip: AdamW and gradient clipping.
        ema: decay of the averaged weights that are evaluated and shipped.
        save_every: seconds between checkpoints.
        log_every: steps between lines of the curve.
        scale: factor on the learning rate for a parameter of that name (None: 1 for all).
        fused: AdamW in one kernel (a little faster; rounds differently).
        muon: whether Muon trains the weight of that name, if it has two or more dimensions (None: AdamW trains all).
        muon_lr: Muon's peak rate; it follows the same schedule.
        warmup: steps of linear warm-up, also after a start from weights without an optimiser's state.
        decay: None for the cosine; else the share of the steps, at the end, in which a constant rate falls to 2 %.
        second: a folder that gets a copy of each checkpoint.
    """

    folder: Path
    steps: int
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    save_every: float = 120.0
    log_every: int = 50
    scale: Callable[[str], float] | None = None
    fused: bool = False
    muon: Callable[[str], bool] | None = None
    muon_lr: float = 0.02
    warmup: int = 100
    decay: float | None = None
    second: Path | None = None


class Loop:
    """Trains `model` (one module; wrap several in a ModuleDict) with a loss of the step number.

    `run()` returns the EMA copy in eval mode. A checkpoint in the folder is continued.

    Attributes:
        step, seconds: how far the training is.  begun: the step at which the optimisers began without a state.
        stopping: set it, and `run` ends after the step with its state saved.
    """

    def __init__(self, model: nn.Module, loss: LossFn, settings: LoopSettings) -> None:
        self.model, self.loss, self.settings = model, loss, settings
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
        self.step, self.seconds, self.begun, self.stopping = 0, 0.0, 0, False
        s.folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """The file that holds the whole state of the run."""
        return self.settings.folder / "last.pt"

    def lr_at(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then as the settings' `decay` says, down to 2 %."""
        s = self.settings
        warm = min(1.0, (step - self.begun + 1) / s.warmup)
        done = min(1.0, step / max(s.steps, 1))
        if s.decay is not None:
            return s.lr * warm * max(0.02, min(1.0, (1 - done) / s.decay))
        return s.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))

    def save(self) -> None:
        """Writes the whole state under a temporary name, then renames it."""
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "begun": self.begun,
        }
        if self.muon:
            state["muon"] = self.muon.state_dict()
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)
        if self.settings.second:
            self.settings.second.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.checkpoint, self.settings.second / f"{self.settings.folder.name}.part")
            copied = self.settings.second / f"{self.settings.folder.name}.pt"
            os.replace(copied.with_suffix(".part"), copied)

    def resume(self) -> bool:
        """Loads the last checkpoint if there is one.

        Raises:
            UserError: the checkpoint belongs to another model.
        """
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.muon:
                self.muon.load_state_dict(state["muon"])
        except (RuntimeError, KeyError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise UserError(
                f"{self.checkpoint} is of another model ({first}); give another folder or delete it"
            ) from error
        self.step, self.seconds, self.begun = int(state["step"]), float(state["seconds"]), int(state.get("begun", 0))
        return True

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.settings.steps

    def run(self, until: int | None = None) -> nn.Module:
        """Trains up to step `until` (default: all steps)."""
        self.resume()
        stop = min(until or self.settings.steps, self.settings.steps)
        begun, saved, sums, count = time.monotonic(), time.monotonic(), {}, 0
        base = self.seconds
        self.model.train()
        while self.step < stop and not self.stopping:
            self._set_rates()
            self.model.zero_grad(set_to_none=True)  # before the loss, which may add gradients of its own
            loss, logs = self.loss(self.step)
            if not torch.isfinite(loss):
                raise UserError(f"training diverged at step {self.step} (loss {loss.item()}); lower the learning rate")
            loss.backward()
            self.gather()
            if math.isfinite(self.settings.clip):
                nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
            self.optimizer.step()
            if self.muon:
                self.muon.step()
            self.step += 1
            self._average()
            for key, value in {"loss": loss.item(), **logs}.items():
                sums[key] = sums.get(key, 0.0) + float(value)
            count += 1
            self.seconds = base + time.monotonic() - begun
            if self.step % self.settings.log_every == 0:
                self._log({k: v / count for k, v in sums.items()})
                sums, count = {}, 0
            if time.monotonic() - saved > self.settings.save_every:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.ema.eval()

    def _set_rates(self) -> None:
        rate = self.lr_at(self.step)
        for group, factor in zip(self.optimizer.param_groups, self.factors, strict=True):
            group["lr"] = rate * factor
        for group, factor in zip(self.muon.param_groups if self.muon else (), self.muon_factors, strict=True):
            group["lr"] = rate / self.settings.lr * self.settings.muon_lr * factor

    def gather(self) -> None:  # noqa: B027 (one process has nothing to gather)
        """Called when the gradients are complete; several processes bring theirs together here."""

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        means, nows = list(self.ema.parameters()), list(self.model.parameters())
        if means:
            torch._foreach_lerp_(means, nows, 1 - decay)
        for mean, now in zip(self.ema.buffers(), self.model.buffers(), strict=True):
            mean.copy_(now)

    def _log(self, values: dict[str, float]) -> None:
        path = self.settings.folder / "curve.csv"
        if not path.exists():
            path.write_text("step,seconds," + ",".join(values) + "\n")
        with path.open("a") as out:
            out.write(f"{self.step},{self.seconds:.0f}," + ",".join(f"{v:.5f}" for v in values.values()) + "\n")


@contextmanager
def stoppable(loop: Loop) -> Iterator[None]:
    """SIGTERM or Ctrl-C lets the step end and saves; a second one stops at once."""
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        loop.stopping = True
        for kind in before:
            signal.signal(kind, signal.default_int_handler)

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def arguments(description: str, folder: str, steps: int, lr: float) -> argparse.ArgumentParser:
    """The options that every trainer shares."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--folder", type=Path, default=Path(folder), help="checkpoints and curve (resumed when present)"
    )
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--out", type=Path, default=None, help="where the finished weights go (default: the package's assets)"
    )
    return parser


def write_record(path: Path, record: dict) -> None:
    """Writes a training record (recipe and measured figures) as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
