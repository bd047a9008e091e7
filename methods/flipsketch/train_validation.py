"""What a sketch LoRA makes of held-out captions while it is trained, for a tracker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import make_sampler
from motionkit.training.tracker import Shown, Validate

from .train_config import TrainOptions
from .train_data import DrawingClips
from .train_lora import Factors
from .train_loss import Texts, measure

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

STEPS, SCALE, SEED = 10, 7.5, 0


def validation(backbone: VideoBackbone, clips: DrawingClips, options: TrainOptions, factors: Factors) -> Validate:
    """The errors of `measure`, and beside a held-out clip one drawn from its caption, with the averaged factors."""

    def validate(average: Any) -> Shown:
        kept = [weight.detach().clone() for weight in factors.parameters()]
        factors.take(average)
        try:
            figures = measure(backbone, clips, options.recipe)
            errors = {name: figures[name] for name in ("error", "without")}
            return Shown(errors, _drawn(backbone, clips), figures["held_out"])
        finally:
            with torch.no_grad():
                for weight, value in zip(factors.parameters(), kept, strict=True):
                    weight.copy_(value)

    return validate


@torch.no_grad()
def _drawn(backbone: VideoBackbone, clips: DrawingClips) -> dict[str, Tensor]:
    """`clip`: the true clip at the left, what is drawn from its caption at the right."""
    entry = (clips.held_out or clips.train)[0]
    x0, texts = clips.cut(entry)[None], Texts(backbone, learns=False)
    generator = torch.Generator().manual_seed(SEED)
    sampler = make_sampler(backbone, "auto", generator)
    noise = torch.randn(x0.shape, generator=generator).to(backbone.device) * sampler.initial_scale
    model = text_model(backbone.denoise, texts([entry.caption]), texts([""]))
    made = denoise(model, sampler, noise, sampler.grid(STEPS), Guidance(SCALE))
    sides = [backbone.decode(latents[0].transpose(0, 1).to(backbone.device)) for latents in (x0, made)]
    return {"clip": torch.cat(sides, -1)}  # (F, 3, H, 2 W)
