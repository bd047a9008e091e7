"""The reference branch: the sketch's own denoising, which depends on neither the prompt nor the seed.

It runs once for each sketch, at batch 1. Its results (FlipSketch section 4.3) serve every prompt and seed: the queries
and keys of the composed steps, and frame 0 with its prediction for the alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from motionkit.diffusion import loop
from motionkit.diffusion.guidance import Guidance, Half
from motionkit.diffusion.samplers import Sampler
from motionkit.diffusion.schedule import OnStep, Step

from .compose import Composer, Recording
from .eager import eager

_QUERY, _KEY = "query", "key"


@dataclass(frozen=True)
class Schedule:
    """Which steps do what: alignment in the first `aligned` of `steps`, composition in the first `composed`.

    Attributes:
        frames: M, of the generated clip.
        first_frames: "step": N = max(1, M - i) at step i, as the authors' code; "linear": N falls from M to 1 over the
            composed steps, whatever their number (FlipSketch section 4.3).
        pinned: the reference is followed to its end, for a frame 0 that stays with it.
    """

    steps: int
    frames: int
    aligned: int = 0
    composed: int = 0
    first_frames: str = "step"
    pinned: bool = False

    @classmethod
    def of(cls, steps: int, frames: int, align: float, compose: float, **options: object) -> Schedule:
        """From fractions of the steps: alignment where i < round(align T), composition where i <= round(compose T)."""
        composed = min(steps, round(compose * steps) + 1) if compose > 0 else 0
        return cls(steps, frames, round(align * steps), composed, **options)  # type: ignore[arg-type]

    def alone(self) -> Schedule:
        """The same steps without a reference."""
        return replace(self, aligned=0, composed=0, pinned=False)

    @property
    def walked(self) -> int:
        """Steps that the reference takes part in."""
        return self.steps if self.pinned else max(self.aligned, self.composed)

    def first(self, i: int) -> int:
        """N: how many frames of the reference step i uses."""
        if self.first_frames == "step":
            return max(1, self.frames - i)
        last = max(1, self.composed - 1)
        return max(1, round(self.frames - (self.frames - 1) * min(1.0, i / last)))


@dataclass
class Reference:
    """The results of the reference branch.

    Attributes:
        noise: x_T^r (1, C, 1, h, w).
        path: frame 0 before each walked step, and after the last (W + 1, C, h, w).
        targets: the model's prediction for that frame alone, one for each aligned step (A, C, h, w).
        states: all N frames before each composed step, from which a recording can be made again.
        recordings: queries and keys, one for each composed step; empty when they were not kept.
    """

    noise: Tensor
    path: Tensor
    targets: Tensor
    states: list[Tensor] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)

    @property
    def megabytes(self) -> float:
        """Size of all recordings, MB."""
        return sum(recording.megabytes for recording in self.recordings)

    def tensors(self, recordings: bool = True) -> dict[str, Tensor]:
        """Everything by name; `recordings` False leaves the large part out."""
        kept = {"noise": self.noise, "path": self.path, "targets": self.targets}
        kept |= {f"state.{i}": state for i, state in enumerate(self.states)}
        for i, recording in enumerate(self.recordings if recordings else ()):
            kept |= {f"{_QUERY}.{i}.{site}": q.cpu() for site, q in recording.queries.items()}
            kept |= {f"{_KEY}.{i}.{site}": k.cpu() for site, k in recording.keys.items()}
        return kept

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Reference:
        """The inverse of `tensors`."""
        states = [tensors[f"state.{i}"] for i in range(sum(name.startswith("state.") for name in tensors))]
        found: dict[int, Recording] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind in (_QUERY, _KEY):
                step, _, site = rest.partition(".")
                recording = found.setdefault(int(step), Recording())
                (recording.queries if kind == _QUERY else recording.keys)[site] = tensor
        recordings = [found[i] for i in sorted(found)]
        return cls(tensors["noise"], tensors["path"], tensors["targets"], states, recordings)


@torch.no_grad()
def walk(
    composer: Composer,
    sampler: Sampler,
    noise: Tensor,
    schedule: Schedule,
    null: Tensor,
    *,
    given: Tensor | None = None,
    negative: Tensor | None = None,
    guidance: float = 1.0,
    room_mb: float = 0.0,
    progress: OnStep | None = None,
) -> Reference:
    """Denoise M copies of x_T^r together, of which each step keeps the first N.

    Inversion is not exact: what is denoised again drifts from the sketch, the more the noisier the schedule ends.
    `given`, the latents that the inversion passed through, takes the place of what each step made.

    Args:
        composer: installed.
        noise: x_T^r (1, C, 1, h, w).
        null: text states (1, L, C) of the empty prompt.
        given: (steps + 1, 1, C, 1, h, w), from the noise down to the clean latents.
        room_mb: recordings up to this size in all stay on the model's device, the others go to the CPU's memory.
        negative, guidance: text states of a negative prompt: the reference is then guided too, as in the authors' code.

    Raises:
        UserError: the model returned NaN or infinity.
    """
    ref = noise.float().expand(-1, -1, schedule.frames, -1, -1)  # (1, C, M, h, w)
    grid = sampler.grid(schedule.steps)[: schedule.walked]
    branch = _Branch(composer, schedule, null, negative, ref, room_mb)
    if given is None:
        guided = Guidance(guidance if negative is not None else 1.0)
        loop.denoise(
            branch,
            sampler,
            ref,
            grid,
            guided,
            before_step=branch.shorten,
            after_step=branch.follow,
            progress=progress,
            doing="the reference branch",
        )
        return branch.reference(noise)
    for step in grid:
        ref = branch.shorten(ref, step)
        if step.index < max(schedule.composed, schedule.aligned):
            branch(ref, step, "cond")
        ref = branch.follow(given[step.index + 1].float().expand_as(ref), step)
        if progress:
            progress(step.index + 1, schedule.walked)
    return branch.reference(noise)


class _Branch:
    """The model of the reference branch, which stores what later steps need."""

    def __init__(
        self,
        composer: Composer,
        schedule: Schedule,
        null: Tensor,
        negative: Tensor | None,
        start: Tensor,
        room_mb: float,
    ) -> None:
        self.room_mb = room_mb
        self.composer, self.schedule, self.null, self.negative = composer, schedule, null, negative
        self.path, self.targets = [start[0, :, 0]], list[Tensor]()
        self.states, self.recordings = list[Tensor](), list[Recording]()

    def shorten(self, ref: Tensor, step: Step) -> Tensor:
        """The frames that a step uses."""
        return ref[:, :, : self.schedule.first(step.index)]  # (1, C, N, h, w)

    def follow(self, ref: Tensor, step: Step) -> Tensor:
        """Store frame 0."""
        self.path.append(ref[0, :, 0])
        return ref

    def __call__(self, ref: Tensor, step: Step, half: Half) -> Tensor:
        """The prediction (1, C, N, h, w) without text, or with the negative prompt."""
        if half == "uncond":
            assert self.negative is not None
            return self._plain(ref, step, self.negative)
        if step.index < self.schedule.composed:
            self.states.append(ref)
            prediction, recording = self.composer.record(ref, step.t, self.null)
            self.recordings.append(self._placed(recording))
        else:
            prediction = self._plain(ref, step, self.null)
        if step.index < self.schedule.aligned:
            single = ref.shape[2] == 1
            alone = prediction if single else self._plain(ref[:, :, :1], step, self.null)
            self.targets.append(alone[0, :, 0].float())
        return prediction

    def _placed(self, recording: Recording) -> Recording:
        """A recording on the device where there is room, else in the CPU's memory: at 1024 pixels it is gigabytes."""
        self.room_mb -= recording.megabytes
        return recording if self.room_mb >= 0 else recording.map(lambda tensor: tensor.cpu())

    def _plain(self, ref: Tensor, step: Step, text: Tensor) -> Tensor:
        with eager():  # as in a recording
            return self.composer.plain(ref, step.t, text)

    def reference(self, noise: Tensor) -> Reference:
        """All stored results."""
        path = torch.stack(self.path)  # (W + 1, C, h, w)
        targets = torch.stack(self.targets) if self.targets else path[:0]
        return Reference(noise, path, targets, self.states, self.recordings)


Recorder = Callable[[int], Recording]  # step -> the reference's recording


def recorder(composer: Composer, sampler: Sampler, reference: Reference, schedule: Schedule, null: Tensor) -> Recorder:
    """The stored recordings, or ones computed again from the stored states, with one pass for each step."""
    if reference.recordings:
        return lambda i: reference.recordings[i]
    grid = sampler.grid(schedule.steps)

    def again(i: int) -> Recording:
        return composer.record(reference.states[i].to(null.device), grid[i].t, null)[1]

    return again
