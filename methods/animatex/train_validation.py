"""What an Animate-X network makes of a held-out clip while it is trained, for a tracker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from motionkit.diffusion.guidance import Half
from motionkit.diffusion.schedule import Step
from motionkit.training.tracker import Shown, Validate

from .sample import Window, sample
from .train_batch import Examples
from .train_config import TrainOptions
from .train_loss import Denoiser, arithmetic, complete, measure, on_device

if TYPE_CHECKING:
    from motionkit.methods.animatex.net.backbone import AnimateXBackbone

STEPS = 10


def validation(examples: Examples, backbone: AnimateXBackbone, options: TrainOptions) -> Validate:
    """The errors of `measure`, and beside a held-out clip one made of its poses and one of its frames."""

    def validate(average: Any) -> Shown:
        figures = measure(average, examples, backbone, options)
        clip = _made(average, examples, backbone, options)
        return Shown({name: figures[name] for name in ("error", "without")}, {"clip": clip}, figures["held_out"])

    return validate


@torch.no_grad()
def _made(model: Denoiser, examples: Examples, backbone: AnimateXBackbone, options: TrainOptions) -> Tensor:
    """The true clip at the left, the sampled one at the right: (F, 3, H, 2 W) in [0, 1]."""
    still = replace(options, epi=replace(options.epi, probability=0.0))
    shown = Examples(examples.clips, still, examples.text, examples.side, 1, examples.factor, held_out=True)
    batch = on_device(shown.at(0, 1), backbone.device)

    def predict(latents: Tensor, step: Step, half: Half, span: Window) -> Tensor:
        timed = replace(batch, t=torch.full_like(batch.t, int(step.t)))
        return model(timed, latents, given if half == "cond" else given.empty()).float()

    with arithmetic(backbone):
        given = complete(model, batch, options.indicator)
        made = sample(predict, batch.noise, STEPS, size=batch.noise.shape[2], overlap=0)
    sides = [backbone.decode(latents[0].transpose(0, 1)) for latents in (batch.clean, made)]
    return torch.cat(sides, -1)
