"""Sampling: the timesteps that Animate-X visits, windows for clips of any length, offset noise, the guided walk.

Animate-X (arXiv 2410.10306) with its released settings: v prediction, betas rescaled to zero terminal SNR
(arXiv 2305.08891), guidance 2.5, noise with an offset of its own for each frame and channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from motionkit.backbones.noise_levels import Level, Scheduler
from motionkit.diffusion import loop
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, Half, Model
from motionkit.diffusion.noise import partly_shared_noise
from motionkit.diffusion.samplers import Sampler
from motionkit.diffusion.schedule import OnStep, Step, check_steps
from motionkit.errors import UserError

TRAIN_STEPS, OFFSET, RELEASED = 1000, 0.1, Guidance(2.5)
Window = tuple[int, int]  # first frame, and the one after the last
# A `Model` that is told the window as well: latents (B, C, f, h, w) of its frames, step, half, window -> v.
WindowModel = Callable[[Tensor, Step, Half, Window], Tensor]


def scheduler() -> DDIMScheduler:
    """The noise schedule of the released weights: scaled linear, zero terminal SNR, v prediction."""
    from motionkit.methods.animatex.net.backbone import SCHEDULE

    return DDIMScheduler(**SCHEDULE)


def visited(steps: int) -> list[int]:
    """The timesteps, noise first: 1, 1 + 1000 // steps, ... up to 999.

    Where `steps` does not divide 1000 there are more of them, as the authors' sampler has it: 30, the released setting,
    visits 31, and from 501 on all 1000 are visited.

    Raises:
        UserError: steps outside 1..1000.
    """
    check_steps(steps, TRAIN_STEPS)
    stride = TRAIN_STEPS // steps
    return [min(t + 1, TRAIN_STEPS - 1) for t in range(0, TRAIN_STEPS, stride)][::-1]


def grid(schedule: Scheduler, steps: int) -> list[Step]:
    """The steps at those timesteps: one from t lands on t - 1000 // steps, and the last one on timestep 0.

    That is not quite clean (alpha 0.99915).
    """
    levels, stride = [Level.of(alpha) for alpha in schedule.alphas_cumprod], TRAIN_STEPS // steps
    return [Step(i, t, levels[t], levels[max(t - stride, 0)]) for i, t in enumerate(visited(steps))]


def windows(frames: int, size: int = 32, overlap: int = 4) -> list[Window]:
    """Windows over a clip: `size` long, `overlap` shared with the next, the last one at the end of the clip.

    A clip of at most `size` frames is one window.

    Raises:
        UserError: overlap outside 0..size - 1, or no frames.
    """
    if frames < 1 or size < 1 or not 0 <= overlap < size:
        raise UserError(f"windows need at least 1 frame and 0 <= overlap < size, not size={size}, overlap={overlap}")
    if frames <= size:
        return [(0, frames)]
    starts = range(0, frames - size, size - overlap)
    return [(start, start + size) for start in (*starts, frames - size)]


def averaged(model: WindowModel, spans: Sequence[Window]) -> Model:
    """A model for the whole clip: each half averaged over the windows that show a frame, all weighing the same.

    What depends on time (poses, image features, positions) is the window model's to slice.
    """
    if len(spans) == 1:
        return lambda latents, step, half: model(latents, step, half, spans[0])

    def whole(latents: Tensor, step: Step, half: Half) -> Tensor:
        total, count = torch.zeros_like(latents), latents.new_zeros(latents.shape[2])
        for first, stop in spans:
            total[:, :, first:stop] += model(latents[:, :, first:stop], step, half, (first, stop))
            count[first:stop] += 1
        return total / count[:, None, None]  # (F, 1, 1)

    return whole


def offset_noise(
    shape: Sequence[int], generator: torch.Generator, strength: float = OFFSET, share: float = 0.0
) -> Tensor:
    """Noise (B, C, F, h, w) plus `strength` times one number for each frame and channel; not brought back to unit
    variance, as the authors have it. Drawn on the CPU.

    `share` of the variance of both is common to all frames (arXiv 2305.10474).
    """
    sizes = tuple(shape), (*shape[:3], 1, 1)
    if share:
        base, offset = (partly_shared_noise(size, share, generator=generator) for size in sizes)
    else:
        base, offset = (torch.randn(size, generator=generator) for size in sizes)
    return with_offset(base, offset, strength)


def with_offset(base: Tensor, offset: Tensor, strength: float = OFFSET) -> Tensor:
    """base (B, C, F, h, w) + strength * offset (B, C, F, 1, 1)."""
    return base + strength * offset


def sample(
    model: WindowModel,
    latents: Tensor,
    steps: int,
    *,
    guidance: Guidance = RELEASED,
    size: int = 32,
    overlap: int = 4,
    sampler: Sampler | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Noise (B, C, F, h, w) to clean latents under guidance, in windows where F > size; float32.

    Plain DDIM walks `grid`, as the authors' does; another sampler walks its own.

    Raises:
        UserError: see `visited` and `windows`; the model returned NaN or infinity.
    """
    sampler = sampler or DDIM(scheduler())
    walked = grid(sampler.scheduler, steps) if type(sampler) is DDIM else sampler.grid(steps)
    whole = averaged(model, windows(latents.shape[2], size, overlap))
    return loop.denoise(whole, sampler, latents, walked, guidance, progress=progress)


def frame_indices(available: int, frames: int, stride: int = 1) -> list[int]:
    """Which frames of a driving clip are taken: every `stride`-th from the first.

    A clip too short for that gets a smaller stride; one too short for any repeats its last frame.

    Raises:
        UserError: no frames, or a stride below 1.
    """
    if available < 1 or frames < 1 or stride < 1:
        raise UserError(f"frames and stride must be at least 1, not {frames} and {stride} (the clip has {available})")
    fits = max(1, min(stride, (available - 1) // max(frames - 1, 1)))
    return [min(i * fits, available - 1) for i in range(frames)]
