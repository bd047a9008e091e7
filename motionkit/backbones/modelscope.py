"""ModelScope text-to-video and everything of its layout: one 3D UNet that sees a clip whole, driven directly.

Paper: Wang et al., ModelScope Text-to-Video Technical Report, arXiv 2308.06571. The weights are CC BY-NC 4.0.
The UNet is diffusers' UNet3DConditionModel; diffusers' own pipeline for it is deprecated and is not used.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from motionkit.backbones import files
from motionkit.backbones.base import patch_of
from motionkit.backbones.catalog import BackboneSpec
from motionkit.backbones.sd import StableDiffusion, check_parts, read_scheduler, read_tokenizer
from motionkit.backbones.weights import load_model, read_config
from motionkit.gpu import Plan


class ModelScopeBackbone(StableDiffusion):
    """A denoiser of whole clips: temporal convolutions and temporal attention between SD's layers.

    Text as in SD: one CLIP encoder, its last hidden states (B, L, C). Any number of frames; with one frame the temporal
    layers see that frame alone.
    """

    def denoise(
        self, latents: Tensor, t: int | Tensor, text: Tensor, *, unet: Any = None, **unet_arguments: Any
    ) -> Tensor:
        """The raw prediction (B, 4, F, h, w), float32, for clips of that shape at timestep t (int or (B,)).

        The clip passes the UNet whole, text (B, L, C) is per clip. `unet` replaces the backbone's own (a tuned copy);
        other arguments go to its forward.
        """
        unet = self._use(self.unet if unet is None else unet)
        dtype = getattr(unet, "dtype", self.dtype)
        x = latents.to(self.device, dtype)
        times = torch.as_tensor(t, device=self.device).expand(latents.shape[0])
        with self._arithmetic():
            return unet(x, times, text.to(self.device, dtype), **unet_arguments).sample.float()


def load(
    spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False
) -> ModelScopeBackbone:
    """A ModelScope model of the hub's folder layout; `seed` is not used.

    Raises: MissingWeights naming the files and the command that gets them; UserError in one line for another kind of
    model and for damaged or inconsistent files.
    """
    folder = files.locate(spec, path, online)
    dtype = getattr(torch, plan.dtype)
    unet = read_config(folder / "unet/config.json", "UNet3DConditionModel")
    vae = read_config(folder / "vae/config.json", "AutoencoderKL")
    text = read_config(folder / "text_encoder/config.json")
    check_parts(spec, folder, unet, vae, [text])
    parts: dict[str, Any] = {
        "vae": load_model(lambda: AutoencoderKL.from_config(vae), folder / "vae", files.MODEL, dtype),
        "unet": load_model(lambda: UNet3DConditionModel.from_config(unet), folder / "unet", files.MODEL, dtype),
        "text_encoder": load_model(
            lambda: CLIPTextModel(CLIPTextConfig.from_dict(text)), folder / "text_encoder", files.TEXT, dtype
        ),
        "tokenizer": read_tokenizer(folder / "tokenizer", text),
        "scheduler": read_scheduler(folder / "scheduler/scheduler_config.json"),
        "fingerprint": files.fingerprint(spec, str(folder)),
    }
    patch_of(parts["vae"])
    return ModelScopeBackbone(spec, plan, **parts)
