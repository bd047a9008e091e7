"""The loss and the evaluation of a sketch LoRA: the error of the prediction for noised clips."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from motionkit.diffusion.noise import partly_shared_noise
from motionkit.training.loop import LossFn
from motionkit.training.tracker import Tracker, tell_losses
from motionkit.weights.hashing import seed_from

from .train_config import Recipe, TrainOptions
from .train_data import DrawingClips
from .train_lora import without_factors

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

_MEASURED_CLIPS, _MEASURED_TIMES = 6, (200, 500, 800)


class Texts:
    """Text states of captions: computed once each, or at every step with gradients when the encoder learns."""

    def __init__(self, backbone: VideoBackbone, learns: bool) -> None:
        self.backbone, self.learns = backbone, learns
        self.known: dict[str, Tensor] = {}

    def __call__(self, captions: list[str]) -> Tensor:
        """States (B, L, C) float32."""
        if self.learns:
            return self._fresh(captions)
        for caption in captions:
            if caption not in self.known:
                self.known[caption] = self.backbone.encode_text([caption])[0].cpu()
        return torch.stack([self.known[caption] for caption in captions]).to(self.backbone.device)

    def _fresh(self, captions: list[str]) -> Tensor:
        b = self.backbone
        ids = b.tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=b.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        kind = b.plan.autocast
        with torch.autocast(b.device.type, getattr(torch, kind)) if kind else nullcontext():
            return b.text_encoder(ids.to(b.device))[0].float()


def make_loss(
    backbone: VideoBackbone, clips: DrawingClips, options: TrainOptions, seed: int, tracker: Tracker | None = None
) -> LossFn:
    """The loss of a batch, which depends on the batch's number (and torch's own generator, for dropout) alone."""
    recipe, texts = options.recipe, Texts(backbone, options.text_encoder)
    if backbone.plan.offload == "model" and not options.text_encoder:
        for caption in sorted({"", *(entry.caption for entry in clips.train)}):
            texts([caption])  # all at once: later on, text encoder and UNet would take turns on the device

    def loss(number: int) -> tuple[Tensor, dict[str, float]]:
        x0, captions = clips.batch(number, recipe.batch, seed, options.caption_dropout)
        drawn = seed_from(seed, f"noise {number}")
        return clip_loss(backbone, x0.to(backbone.device), texts(captions), recipe, drawn, tracker), {}

    return loss


def clip_loss(
    backbone: VideoBackbone, x0: Tensor, text: Tensor, recipe: Recipe, seed: int, tracker: Tracker | None = None
) -> Tensor:
    """Mean squared error of the prediction for noised clips x0 (B, C, F, h, w) with text states (B, L, C)."""
    generator = torch.Generator().manual_seed(seed)
    noise = partly_shared_noise(tuple(x0.shape), recipe.noise_share, recipe.noise_share_clips, generator).to(x0)
    count, total = len(x0), backbone.scheduler.config.num_train_timesteps
    even = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    # The square root of an even number has a density that grows with it.
    t = ((even.sqrt() if recipe.timesteps == "late" else even) * total).long().clamp(max=total - 1).to(x0.device)
    return _error(backbone, x0, noise, t, text, tracker)


def _error(
    backbone: VideoBackbone, x0: Tensor, noise: Tensor, t: Tensor, text: Tensor, tracker: Tracker | None = None
) -> Tensor:
    noisy = backbone.noised(x0, noise, t)
    found, wanted = backbone.denoise(noisy, t, text), backbone.training_target(x0, noise, t)
    if tracker is not None:
        tell_losses(tracker, t, lambda: (found.detach() - wanted).square())
    return F.mse_loss(found, wanted)


@torch.no_grad()
def measure(backbone: VideoBackbone, clips: DrawingClips, recipe: Recipe) -> dict[str, Any]:
    """Error of the prediction on held-out clips, with and without the LoRA's factors."""
    texts, entries = Texts(backbone, learns=False), (clips.held_out or clips.train)[:_MEASURED_CLIPS]

    def error() -> float:
        found = []
        for i, entry in enumerate(entries):
            x0, generator = clips.cut(entry)[None].to(backbone.device), torch.Generator().manual_seed(i)
            for t in _MEASURED_TIMES:
                noise = partly_shared_noise(tuple(x0.shape), recipe.noise_share, 1.0, generator).to(x0)
                times = torch.tensor([t], device=backbone.device)
                found.append(_error(backbone, x0, noise, times, texts([entry.caption])).item())
        texts.known.clear()
        return sum(found) / len(found)

    tuned = error()
    with without_factors(backbone.unet, backbone.text_encoder):
        without = error()
    return {"error": tuned, "without": without, "clips": len(entries), "held_out": bool(clips.held_out)}
