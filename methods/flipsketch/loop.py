"""The denoising loop of FlipSketch: alignment, composed attention and guidance, several videos in one batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from motionkit.diffusion import loop
from motionkit.diffusion.guidance import Guidance, Half, Prompts
from motionkit.diffusion.samplers import Sampler
from motionkit.diffusion.schedule import OnStep, Step

from .align import align
from .compose import Composer, Recording
from .reference import Recorder, Reference, Schedule

OnAlign = Callable[[int, Tensor], None]  # step, latents (B, C, M, h, w) after its alignment


@dataclass(frozen=True)
class DenoiseSettings:
    """How the generated frames are denoised; see `config` for what the values mean."""

    guidance: Guidance = Guidance(9.0)
    both_passes: bool = False
    aligned: bool = True
    updates: int = 9
    lr: float = 1e-3
    loss: str = "mse"
    precision: str = "float32"
    half: bool = False
    stall: float = 0.0


def start(noise: Tensor, inverted: Tensor, share: float = 0.0) -> Tensor:
    """Initial latents (B, C, M, h, w): frame 0 is x_T^r (1, C, 1, h, w), the others are noise of that shape.

    `share` of the others' variance comes from x_T^r too (0 in the paper): a model that was trained with noise common to
    the frames starts from what it knows.
    """
    mixed = noise if share == 0 else share**0.5 * inverted + (1 - share) ** 0.5 * noise
    return torch.cat([inverted.expand(len(noise), -1, -1, -1, -1), mixed[:, :, 1:]], 2)  # (B, C, M, h, w)


def denoise(
    composer: Composer,
    sampler: Sampler,
    latents: Tensor,
    reference: Reference | None,
    recordings: Recorder | None,
    schedule: Schedule,
    prompt: Tensor,
    negative: Tensor,
    options: DenoiseSettings,
    *,
    progress: OnStep | None = None,
    check: Callable[[], None] = lambda: None,
    watch: OnAlign | None = None,
) -> Tensor:
    """Clean latents (B, C, M, h, w) from noise of that shape.

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
    path = reference.path.to(latents.device) if reference else latents.new_zeros(0)
    video = _Video(composer, reference, path, recordings, schedule, Prompts(prompt, negative), options, check, watch)
    grid = sampler.grid(schedule.steps)
    x = loop.denoise(
        video, sampler, latents, grid, options.guidance, before_step=video.prepare, progress=progress, doing="denoising"
    )
    return video.pinned(x, -1)


@dataclass
class _Video:
    """The model of the generated frames: aligned before a step, composed in its pass with the prompt."""

    composer: Composer
    reference: Reference | None
    path: Tensor
    recordings: Recorder | None
    schedule: Schedule
    prompts: Prompts
    options: DenoiseSettings
    check: Callable[[], None]
    watch: OnAlign | None
    recording: Recording | None = None

    def prepare(self, x: Tensor, step: Step) -> Tensor:
        """Frame 0 in its place, the others aligned to it, and what the step composes at hand."""
        i = step.index
        x = self.pinned(x, i)
        if self.reference and self.options.aligned and i < self.schedule.aligned:
            x = self.aligned(x, step, self.reference.targets[i].to(x.device))
        if self.watch:
            self.watch(i, x)
        self.check()
        self.recording = self.recordings(i) if self.recordings and i < self.schedule.composed else None
        return x

    def pinned(self, x: Tensor, i: int) -> Tensor:
        """With the reference's frame 0 where it is pinned."""
        if not self.schedule.pinned:
            return x
        first = self.path[i][None, :, None].expand(len(x), -1, -1, -1, -1)  # (B, C, 1, h, w)
        return torch.cat([first, x[:, :, 1:]], 2)

    def aligned(self, x: Tensor, step: Step, target: Tensor) -> Tensor:
        """Each video by itself: memory stays that of one, and no video changes another."""
        options = self.options
        moved = [
            align(
                lambda latents: self.composer.plain(latents, step.t, self.prompts.text),
                video[None],
                self.path[step.index],
                target,
                updates=options.updates,
                lr=options.lr,
                loss=options.loss,
                precision=options.precision,
                half=options.half,
                stall=options.stall,
                check=self.check,
            )
            for video in x
        ]
        return torch.cat(moved)

    def __call__(self, x: Tensor, step: Step, half: Half) -> Tensor:
        """The prediction of a half; the one without the prompt is composed only with `both_passes`."""
        text, blank = self.prompts.states(half, len(x)), half == "uncond"
        if self.recording is None or (blank and not self.options.both_passes):
            return self.composer.plain(x, step.t, text)
        first = len(x) // 2 if half == "both" and not self.options.both_passes else 0
        return self.composer.composed(x, step.t, text, self.recording, first)
