"""How long and how fast a training goes: the settings of the one loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from motionkit.training.schedule import Schedule


@dataclass
class LoopSettings:
    """How long and how fast to train.

    Attributes:
        folder: checkpoints and the curve go here.
        steps: optimiser steps in all.
        lr: peak learning rate; 100 warm-up steps, then cosine to 2 % of it.
        betas, weight_decay, clip: AdamW and gradient clipping.
        ema: decay of the averaged weights that are evaluated and shipped.
        save_every: seconds between checkpoints; longer where writing one takes more than a twentieth of that.
        save_steps: steps between checkpoints as well; 0 goes by time alone.
        half: whether a checkpoint keeps the means and the optimisers' moments in bfloat16: 10 bytes a weight and not
            16; a training that goes on from one goes on nearly as it would have.
        log_every: steps between lines of the curve.
        scale: factor on the learning rate for a parameter of that name (None: 1 for all).
        fused: AdamW in one kernel (a little faster; rounds differently).
        muon: whether Muon trains the weight of that name, if it has two or more dimensions (None: AdamW trains all).
        muon_lr: Muon's peak rate; it follows the same schedule.
        warmup: steps of linear warm-up, also after a start from weights without an optimiser's state.
        decay: None for the cosine; else the share of the steps, at the end, in which a constant rate falls to 2 %.
        second: a folder that gets a copy of each checkpoint.
        schedule: the rate's course after the warm-up, in place of what `decay` says (schedule.py).
        accumulate: batches to one step; their mean is minimised, each graph freed before the next is built.
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
