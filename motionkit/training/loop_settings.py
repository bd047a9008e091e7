"""The settings of the training loop: length, learning rate, optimisers and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motionkit.training.schedule import Schedule


@dataclass
class LoopSettings:
    """Settings of a training.

    Attributes:
        folder: checkpoints and the curve go here.
        steps: total number of optimiser steps.
        lr: peak learning rate; 100 warm-up steps, then cosine to 2 % of it.
        betas, weight_decay, clip: AdamW and gradient clipping.
        ema: decay of the averaged weights that are evaluated and shipped.
        save_every: seconds between checkpoints; longer where writing one takes more than a twentieth of that.
        save_steps: steps between checkpoints as well; 0 saves by time alone.
        half: whether a checkpoint stores the averages and the optimisers' moments in bfloat16: 10 bytes per weight
            instead of 16; a resumed training then continues almost, but not exactly, as it would have.
        shard: bytes of a checkpoint's file; a larger state is written as several with an index; 0 is one file always.
        log_every: steps between lines of the curve.
        scale: factor on the learning rate for a parameter of that name (None: 1 for all).
        fused: AdamW in one kernel (a little faster; rounds differently).
        muon: whether Muon trains the weight of that name, if it has two or more dimensions (None: AdamW trains all).
        muon_lr: Muon's peak rate; it follows the same schedule.
        warmup: steps of linear warm-up, also after a start from weights without an optimiser's state.
        decay: None for the cosine; else the share of the steps, at the end, in which a constant rate falls to 2 %.
        second: a folder that gets a copy of each checkpoint.
        schedule: the rate after the warm-up, overriding `decay` (schedule.py).
        accumulate: batches per step; their mean is minimised, each graph freed before the next is built.
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
    schedule: Schedule | None = None
    accumulate: int = 1
    save_steps: int = 0
    half: bool = False
    shard: int = 5 * 10**9
