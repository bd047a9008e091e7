"""Sampling: the timesteps that Animate-X visits, windows for clips of any length, offset noise, the guided DDIM loop.

Animate-X (arXiv 2410.10306) with its released settings: v prediction, betas rescaled to zero terminal SNR
(arXiv 2305.08891), guidance 2.5, noise with an offset of its own for each frame and channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from motionkit.diffusion.sampling import guide
from motionkit.diffusion.schedule import OnStep, finite, move
from motionkit.errors import UserError

TRAIN_STEPS, OFFSET, GUIDANCE = 1000, 0.1, 2.5
Window = tuple[int, int]  # first frame, and the one after the last
# (latents (B, C, f, h, w) of a window, t, the window) -> unconditional and conditional v, the same shape.
Pair = Callable[[Tensor, int, Window], tuple[Tensor, Tensor]]


def scheduler() -> DDIMScheduler:
    """The noise schedule of the released weights: scaled linear, zero terminal SNR, v prediction."""
    from motionkit.backbones.animatex.backbone import SCHEDULE

    return DDIMScheduler(**SCHEDULE)


def visited(steps: int) -> list[int]:
    """The timesteps, noise first: 1, 1 + 1000 // steps, ... up to 999.

    Where `steps` does not divide 1000 there are more of them, as the authors' sampler has it: 30, the released setting,
    visits 31, and from 501 on all 1000 are visited.

    Raises:
        UserError: steps outside 1..1000.
    """
    if not 1 <= steps <= TRAIN_STEPS:
        raise UserError(f"steps must be between 1 and {TRAIN_STEPS}, not {steps}")
    stride = TRAIN_STEPS // steps
    return [min(t + 1, TRAIN_STEPS - 1) for t in range(0, TRAIN_STEPS, stride)][::-1]


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


def averaged(pair: Pair, spans: Sequence[Window]) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """A prediction for the whole clip: both halves averaged over the windows that show a frame, all weighing the same.

    What depends on time (poses, image features, positions) is the pair's to slice: it is told the window.
    """
    if len(spans) == 1:
        return lambda latents, t: pair(latents, t, spans[0])

    def predict(latents: Tensor, t: int) -> tuple[Tensor, Tensor]:
        sums = [torch.zeros_like(latents) for _ in range(2)]
        count = latents.new_zeros(latents.shape[2])
        for first, stop in spans:
            for total, part in zip(sums, pair(latents[:, :, first:stop], t, (first, stop)), strict=True):
                total[:, :, first:stop] += part
            count[first:stop] += 1
        count = count[:, None, None]  # (F, 1, 1)
        return sums[0] / count, sums[1] / count

    return predict


def offset_noise(shape: Sequence[int], generator: torch.Generator, strength: float = OFFSET) -> Tensor:
    """Noise (B, C, F, h, w) plus `strength` times one number for each frame and channel; not brought back to unit
    variance, as the authors have it. Drawn on the CPU."""
    base = torch.randn(*shape, generator=generator)
    return with_offset(base, torch.randn(*shape[:3], 1, 1, generator=generator), strength)


def with_offset(base: Tensor, offset: Tensor, strength: float = OFFSET) -> Tensor:
    """base (B, C, F, h, w) + strength * offset (B, C, F, 1, 1)."""
    return base + strength * offset


@torch.no_grad()
def sample(
    pair: Pair,
    latents: Tensor,
    steps: int,
    *,
    guidance: float = GUIDANCE,
    size: int = 32,
    overlap: int = 4,
    schedule: DDIMScheduler | None = None,
    progress: OnStep | None = None,
) -> Tensor:
    """Noise (B, C, F, h, w) to clean latents by guided DDIM with eta 0, in windows where F > size; float32.

    A step from t lands on t - 1000 // steps, and the last one on timestep 0, which is not quite clean (alpha 0.99915).
    With a guidance of 1 the unconditional half still is the pair's to compute or to repeat.

    Raises:
        UserError: see `visited` and `windows`; the model returned NaN or infinity.
    """
    schedule = schedule or scheduler()
    times, stride = visited(steps), TRAIN_STEPS // steps
    predict = averaged(pair, windows(latents.shape[2], size, overlap))
    x = latents.float()
    for i, t in enumerate(times):
        uncond, cond = predict(x, t)
        v = finite(guide(uncond.float(), cond.float(), guidance), "sampling", i + 1, len(times), t)
        below = schedule.alphas_cumprod[max(t - stride, 0)]
        x = move(schedule, v, x, schedule.alphas_cumprod[t], below)
        if progress:
            progress(i + 1, len(times))
    return x


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
