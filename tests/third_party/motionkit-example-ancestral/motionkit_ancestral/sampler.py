"""Ancestral sampling on a diffusion schedule."""

import torch

from motionkit.backbones.noise_levels import to_eps_x0
from motionkit.diffusion.ddim import DDIM


class Ancestral:
    """Steps of Song et al., arXiv 2010.02502, eq. 12 and 16 with eta 1."""

    initial_scale = 1.0

    def __init__(self, scheduler, generator=None):
        self._ddim, self._generator = DDIM(scheduler), generator or torch.Generator().manual_seed(0)

    def grid(self, steps, start_t=None):
        return self._ddim.grid(steps, start_t)

    def step(self, prediction, step, latents):
        (signal, noise), (signal_to, noise_to) = step.level.to(latents.device), step.below.to(latents.device)
        eps, x0 = to_eps_x0(self._ddim.kind, prediction, latents, step.level.to(latents.device))
        fresh = noise_to / noise * (1 - (signal / signal_to) ** 2).sqrt()
        drawn = torch.randn(latents.shape, generator=self._generator).to(latents)
        return signal_to * x0 + (noise_to**2 - fresh**2).clamp_min(0).sqrt() * eps + fresh * drawn
