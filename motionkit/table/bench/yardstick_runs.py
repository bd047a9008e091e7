"""The yardsticks' runs (`motionkit.table.bench.yardsticks`)."""

from __future__ import annotations

from typing import ClassVar

import torch

from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import make_sampler
from motionkit.table.bench import yardsticks
from motionkit.transfer import Inputs, MethodSpec, Tensors, Transfer


class Copy(Transfer):
    """The driving clip."""

    spec: ClassVar[MethodSpec] = yardsticks.spec("copy")

    def prepare(self, inputs: Inputs) -> Tensors:
        """Nothing to perceive."""
        return {}

    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """Its frames."""
        assert inputs.driving is not None  # required
        frames = torch.from_numpy(inputs.driving.frames.copy()).permute(0, 3, 1, 2)  # (F, 3, H, W)
        return frames.float() / 255


class Autoencoder(Copy):
    """The driving clip encoded and decoded: no method on that backbone can come closer to it."""

    spec: ClassVar[MethodSpec] = yardsticks.spec("autoencoder")

    @torch.no_grad()
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """Its decoded frames."""
        frames = super().generate(inputs, prepared, fitted)
        return self.backbone.decode(self.backbone.encode(frames))


class Text(Copy):
    """A clip from the prompt alone, denoised by the backbone's sampler."""

    spec: ClassVar[MethodSpec] = yardsticks.spec("text")

    @torch.no_grad()
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """The clip; its frames have a share of the noise's variance in common."""
        backbone, how = self.backbone, self.config
        words, nothing = backbone.encode_text([inputs.prompt]), backbone.encode_text([""])
        sampler = make_sampler(backbone, self.run.sampler, self.run.generator("sampler"))
        noise = self._noise(how.share) * sampler.initial_scale
        guidance = Guidance(how.guidance, batched=True)
        latents = denoise(
            text_model(backbone.denoise, words, nothing), sampler, noise, sampler.grid(how.steps), guidance
        )
        return backbone.decode(latents[0].transpose(0, 1))  # (F', C, h, w) to (F, 3, H, W)

    def _noise(self, share: float) -> torch.Tensor:
        """(1, C, F', h, w)."""
        channels, times, height, width = self.backbone.latent_shape(self.run.frames, self.run.height, self.run.width)
        generator = torch.Generator().manual_seed(self.run.seed)
        common = torch.randn(channels, 1, height, width, generator=generator)
        own = torch.randn(channels, times, height, width, generator=generator)
        return (share**0.5 * common + (1 - share) ** 0.5 * own)[None]
