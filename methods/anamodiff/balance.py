"""Timesteps and weight of the loss on the warped clip, D_w: by the latents' size and by the kind of prediction."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from motionkit.backbones.noise_levels import EPSILON, level_at

from .config import LoraConfig

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

PAPER_PLACES = 64 * 64  # latents of a frame in the paper: SD 1.4 at 512 px


def same_layout(scheduler: object, t: int, places: int) -> int:
    """The timestep at which the layout of latents of `places` is as noisy as that of 64x64 latents at `t`.

    Layout is what is left of a frame when it is averaged over a few large cells. A cell of n latents keeps its signal
    and a share 1/n of the noise's variance, and n grows with the number of latents, so with SNR = signal^2 / noise^2 of
    a single latent, SNR(t') places = SNR(t) 64^2.
    """
    steps = scheduler.config.num_train_timesteps  # type: ignore[attr-defined]
    level = level_at(scheduler, torch.arange(steps), torch.zeros(steps))
    log_snr = 2 * (level.signal.double().log() - level.noise.double().log())  # (steps,)
    wanted = log_snr[t] + math.log(PAPER_PLACES / places)
    return int((log_snr - wanted).abs().argmin())


def windowed(lora: LoraConfig, scheduler: object, places: int) -> LoraConfig:
    """The settings with D_w's lowest timestep for latents of that many places; high noise stays where it ends."""
    if lora.warped_window == "stated":
        return lora
    return replace(lora, warped_low=min(same_layout(scheduler, lora.warped_low, places), lora.warped_high - 1))


def evened(backbone: VideoBackbone, t: Tensor) -> float:
    """The factor that gives an error of the clean latents the gradient which it has with v-prediction.

    An error d of the clean latents is signal/noise d in epsilon, and d/noise in v and in a flow's velocity; a squared
    error's gradient is linear in it, so the factor is 1/signal for epsilon (about 10 in D_w's window), else 1.
    """
    if backbone.prediction_type != EPSILON:
        return 1.0
    return float((1 / level_at(backbone.scheduler, t, t).signal).mean())
