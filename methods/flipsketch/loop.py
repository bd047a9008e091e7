"""The denoising loop of FlipSketch: alignment, composed attention and guidance, several videos in one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from motionkit.diffusion.sampling import guide
from motionkit.diffusion.schedule import OnStep, Rung, Scheduler, finite, move, rungs

from .align import align
from .compose import Composer
from .reference import Recorder, Reference, Schedule

OnAlign = Callable[[int, Tensor], None]  # step, latents (B, 4, M, h, w) after its alignment


@dataclass(frozen=True)
class Options:
    """How the generated frames are denoised; see `config` for what the values mean."""

    guidance: float = 9.0
    rescale: float = 0.0
    batched: bool = False
    both_passes: bool = False
    aligned: bool = True
    updates: int = 9
    lr: float = 1e-3
    loss: str = "mse"
    precision: str = "float32"
    half: bool = False


def start(noise: Tensor, inverted: Tensor, share: float = 0.0) -> Tensor:
    """Initial latents (B, 4, M, h, w): frame 0 is x_T^r (1, 4, 1, h, w), the others are noise of that shape.

    `share` of the others' variance comes from x_T^r too (0 in the paper): a model that was trained with noise common to
    the frames starts from what it knows.
    """
    mixed = noise if share == 0 else share**0.5 * inverted + (1 - share) ** 0.5 * noise
    return torch.cat([inverted.expand(len(noise), -1, -1, -1, -1), mixed[:, :, 1:]], 2)


@torch.no_grad()
def denoise(
    composer: Composer,
    scheduler: Scheduler,
    latents: Tensor,
    reference: Reference | None,
    recordings: Recorder | None,
    schedule: Schedule,
    prompt: Tensor,
    negative: Tensor,
    options: Options,
    *,
    progress: OnStep | None = None,
    check: Callable[[], None] = lambda: None,
    watch: OnAlign | None = None,
) -> Tensor:
    """Clean latents (B, 4, M, h, w) from noise of that shape.

    Only the pass with the prompt is composed. Frame 0 is denoised like the others, except that alignment puts the
    reference's in its place, and at every step when the schedule is pinned.

    Args:
        composer: installed.
        reference, recordings: both, or neither with a schedule that needs none (`Schedule.alone`).
        prompt, negative: text states (1, L, C).
        check: called often; it may cancel.

    Raises:
        UserError: the model returned NaN or infinity.
    """
    x, path = latents.float(), reference.path.to(latents.device) if reference else latents.new_zeros(0)
    for i, rung in enumerate(rungs(scheduler, schedule.steps)):
        if schedule.pinned:
            x = torch.cat([path[i][None, :, None].expand(len(x), -1, -1, -1, -1), x[:, :, 1:]], 2)
        if reference and options.aligned and i < schedule.aligned:
            x = _aligned(composer, x, rung.t, path[i], reference.targets[i].to(x.device), prompt, options, check)
        if watch:
            watch(i, x)
        check()
        prediction = _guided(composer, x, rung, i, recordings, schedule, prompt, negative, options)
        prediction = finite(prediction, "denoising", i + 1, schedule.steps, rung.t)
        x = move(scheduler, prediction, x, rung.alpha, rung.alpha_below)
        if progress:
            progress(i + 1, schedule.steps)
    if schedule.pinned:
        x = torch.cat([path[-1][None, :, None].expand(len(x), -1, -1, -1, -1), x[:, :, 1:]], 2)
    return x


def _aligned(
    composer: Composer,
    x: Tensor,
    t: int,
    first: Tensor,
    target: Tensor,
    prompt: Tensor,
    options: Options,
    check: Callable[[], None],
) -> Tensor:
    """Each video by itself: memory stays that of one, and no video changes another."""
    predict = partial(_predict, composer, t, prompt)
    aligned = [
        align(
            predict,
            video[None],
            first,
            target,
            updates=options.updates,
            lr=options.lr,
            loss=options.loss,
            precision=options.precision,
            half=options.half,
            check=check,
        )
        for video in x
    ]
    return torch.cat(aligned)


def _predict(composer: Composer, t: int, text: Tensor, latents: Tensor) -> Tensor:
    return composer.plain(latents, t, text)


def _guided(
    composer: Composer,
    x: Tensor,
    rung: Rung,
    i: int,
    recordings: Recorder | None,
    schedule: Schedule,
    prompt: Tensor,
    negative: Tensor,
    options: Options,
) -> Tensor:
    """Guidance over the two passes, in one call or two; with guidance 1 the pass without prompt is left out."""
    videos, recording = len(x), recordings(i) if recordings and i < schedule.composed else None
    text, blank = prompt.expand(videos, -1, -1), negative.expand(videos, -1, -1)
    single = options.guidance == 1
    first = 0 if options.both_passes or single else videos
    if options.batched and not single:
        both, texts = torch.cat([x, x]), torch.cat([blank, text])
        if recording:
            out = composer.composed(both, rung.t, texts, recording, first)
        else:
            out = composer.plain(both, rung.t, texts)
        uncond, cond = out.float().chunk(2)
        return guide(uncond, cond, options.guidance, options.rescale)
    cond = composer.composed(x, rung.t, text, recording) if recording else composer.plain(x, rung.t, text)
    if single:
        return cond
    if recording and options.both_passes:
        uncond = composer.composed(x, rung.t, blank, recording)
    else:
        uncond = composer.plain(x, rung.t, blank)
    return guide(uncond.float(), cond.float(), options.guidance, options.rescale)
