"""AnimateDiff's noise schedules through the toolkit's DDIM: mirrored grids, and there and back on a known model."""

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from motionkit.backbones.noise_levels import alpha_at
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.sampling import ddim_invert, ddim_sample

COMMON = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading"}
SCHEDULES = {
    "sd15": DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="linear", **COMMON),
    "sdxl": DDIMScheduler(beta_start=0.00085, beta_end=0.020, beta_schedule="scaled_linear", **COMMON),
}


def test_timesteps_up_and_down_are_mirrored(kind):
    scheduler = SCHEDULES[kind]
    down, up = scheduler, DDIMInverseScheduler.from_config(scheduler.config)
    down.set_timesteps(50)
    up.set_timesteps(50)
    steps = [step.t for step in DDIM(scheduler).grid(50)]
    assert steps == down.timesteps.tolist() == up.timesteps.tolist()[::-1] == list(range(981, 0, -20))


@pytest.mark.parametrize(("steps", "limit"), [(20, 0.15), (50, 0.06)])
def test_inversion_and_sampling_of_a_gaussian_come_back(kind, steps, limit):
    """Data of known spread have the exact noise predictor sqrt(1 - a) x / (a s^2 + 1 - a)."""
    scheduler = SCHEDULES[kind]
    spread = torch.logspace(-0.5, 0.3, 4096)

    def model(x, t):
        a = alpha_at(scheduler, t, x)
        return (1 - a).sqrt() * x / (a * spread**2 + 1 - a)

    x = spread * torch.randn(4096, generator=torch.Generator().manual_seed(0))
    noise = ddim_invert(model, scheduler, x, steps)
    back = ddim_sample(model, scheduler, noise, steps)
    assert float((back - x).norm() / x.norm()) < limit
