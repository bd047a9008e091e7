"""Classifier-free guidance: which calls of the model it makes, and how it mixes their predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from motionkit.diffusion.schedule import Step

Half = Literal["cond", "uncond", "both"]
# (latents (B, C, F, h, w), step, half) -> the raw prediction, same shape. For "both" latents come twice, (2 B, ...):
# the first time for the unconditional half.
Model = Callable[[Tensor, Step, Half], Tensor]
Predict = Callable[[Tensor, Any], Tensor]  # (latents, timestep) -> the model's raw prediction, same shape


@dataclass(frozen=True)
class Guidance:
    """How the conditional and the unconditional prediction are mixed (arXiv 2207.12598).

    Attributes:
        scale: 1 is the conditional prediction alone; the unconditional one is then not computed.
        rescale: see `guide`.
        batched: both halves in one call of the model, which takes more memory.
        between: lowest and highest timestep (0 to 1000) of the steps that are guided (arXiv 2404.07724); at the others
            the model is called for the conditional prediction alone.
    """

    scale: float = 1.0
    rescale: float = 0.0
    batched: bool = False
    between: tuple[float, float] = (0.0, float("inf"))

    @classmethod
    def on(
        cls,
        device: torch.device | str,
        scale: float,
        rescale: float = 0.0,
        batched: str = "auto",
        together: bool = True,
        interval: Sequence[float] = (0.0, 1.0),
    ) -> Guidance:
        """From settings: batched is "on", "off", or "auto", which is on where the device is a GPU with room for both.

        Args:
            together: whether the memory plan has room (`motionkit.settings.gpu.Plan.batched`).
            interval: the part of the noise schedule that is guided, 0 its clean end and 1 pure noise.
        """
        room = together and str(device).startswith("cuda")
        between = (1000 * interval[0], 1000 * interval[1])
        return cls(scale, rescale, batched == "on" or (batched == "auto" and room), between)

    def counts(self, t: float) -> bool:
        """Whether a step at that timestep is guided."""
        return self.scale != 1 and self.between[0] <= t <= self.between[1]

    def __call__(self, model: Model, latents: Tensor, step: Step) -> Tensor:
        """The guided prediction for latents (B, C, F, h, w)."""
        if not self.counts(step.t):
            return model(latents, step, "cond")
        if self.batched:
            uncond, cond = model(torch.cat([latents, latents]), step, "both").float().chunk(2)
        else:
            cond, uncond = model(latents, step, "cond").float(), model(latents, step, "uncond").float()
        return guide(uncond, cond, self.scale, self.rescale)


NO_GUIDANCE = Guidance()


def guide(uncond: Tensor, cond: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """uncond + scale (cond - uncond) (arXiv 2207.12598), per sample (B, ...).

    `rescale` in [0, 1] pulls its standard deviation towards that of `cond`, against washed-out or burnt tones
    (arXiv 2305.08891, section 3.4).
    """
    out = uncond + scale * (cond - uncond)
    if rescale == 0:
        return out
    dims = tuple(range(1, out.ndim))
    return out * (rescale * cond.std(dims, keepdim=True) / out.std(dims, keepdim=True) + 1 - rescale)


def idle_negative(negative: str, scale: float) -> str:
    """A line for a negative prompt that was given and that guidance at this scale never reads; "" otherwise."""
    if not negative.strip() or scale != 1:
        return ""
    return "negative_prompt has no effect at method.sample.guidance=1: give another scale, such as 7.5, or leave it out"


@dataclass(frozen=True)
class Prompts:
    """Text states of what is wanted and of what is to be avoided, each (B or 1, L, C)."""

    text: Tensor
    negative: Tensor | None = None

    def states(self, half: Half, rows: int) -> Tensor:
        """The text states (rows, L, C) of a half; of "both" the first rows / 2 are negative.

        Raises: ValueError where there is no negative prompt.
        """
        if half == "cond":
            return self.text.expand(rows, -1, -1)
        if self.negative is None:
            raise ValueError("guidance needs the text states of the negative prompt")
        if half == "uncond":
            return self.negative.expand(rows, -1, -1)
        return torch.cat([part.expand(rows // 2, -1, -1) for part in (self.negative, self.text)])


def text_model(denoise: Callable[[Tensor, Any, Tensor], Tensor], text: Tensor, negative: Tensor | None = None) -> Model:
    """A model guided by text: `denoise(latents, t, states)` with the text states of the half, each (B or 1, L, C)."""
    prompts = Prompts(text, negative)
    return lambda latents, step, half: denoise(latents, step.t, prompts.states(half, len(latents)))


def bare(predict: Predict) -> Model:
    """A model without guidance."""
    return lambda latents, step, half: predict(latents, step.t)
