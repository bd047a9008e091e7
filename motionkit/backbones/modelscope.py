"""ModelScope text-to-video and everything of its layout: one 3D UNet that sees a clip whole, driven directly.

Paper: Wang et al., ModelScope Text-to-Video Technical Report, arXiv 2308.06571. The weights are CC BY-NC 4.0.
The UNet is diffusers' UNet3DConditionModel; diffusers' own pipeline for it is deprecated and is not used.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor

from motionkit.backbones import folders
from motionkit.backbones.sd import StableDiffusion, check_parts, read_parts
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.weights.reading import as_layer, read_config


class ModelScopeBackbone(StableDiffusion):
    """A denoiser of whole clips: temporal convolutions and temporal attention between SD's layers.

    Text as in SD: one CLIP encoder, its last hidden states (B, L, C). Any number of frames; with one frame the temporal
    layers see that frame alone.
    """

    def denoise(
        self, latents: Tensor, t: float | Tensor, text: Tensor, *, unet: Any = None, **unet_arguments: Any
    ) -> Tensor:
        """The raw prediction (B, C, F, h, w), float32, for clips of that shape at timestep t (a number or (B,)).

        The clip passes the UNet whole, text (B, L, C) is per clip. `unet` replaces the backbone's own (a tuned copy);
        other arguments go to its forward.
        """
        unet = self._use(self.unet if unet is None else unet)
        dtype = getattr(unet, "dtype", self.dtype)
        x = latents.to(self.device, dtype)
        times = torch.as_tensor(t, device=self.device).expand(latents.shape[0])
        with self._arithmetic(unet):
            return unet(x, times, text.to(self.device, dtype), **unet_arguments).sample.float()


def load(
    spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False
) -> ModelScopeBackbone:
    """A ModelScope model of the hub's folder layout; `seed` is not used.

    Raises: MissingWeights naming the files and the command that gets them; UserError in one line for another kind of
    model and for damaged or inconsistent files.
    """
    folder = folders.locate(spec, path, online)
    unet = read_config(folders.part_file(folder, "unet", "config.json"), "UNet3DConditionModel")
    vae = read_config(folders.part_file(folder, "vae", "config.json"), "AutoencoderKL")
    text = read_config(folders.part_file(folder, "text_encoder", "config.json"))
    check_parts(spec, folder, unet, vae, [text])
    parts = read_parts(spec, folder, getattr(torch, plan.dtype), UNet3DConditionModel, unet, vae, [text])
    return ModelScopeBackbone(spec, plan, **parts)


def from_image_unet(image: UNet2DConditionModel, **sizes: Any) -> UNet3DConditionModel:
    """A video UNet of these sizes that computes what the image UNet computes, on every frame.

    The image UNet's layers are taken over (1x1 convolutions become linear layers); each temporal layer between them
    begins as the identity. If its heads are grouped differently, the result is only a starting point for training.
    Raises: UserError when a layer of the image UNet has no place in the video UNet.
    """
    unet = UNet3DConditionModel(**sizes)
    own = unet.state_dict()
    for key, value in image.state_dict().items():
        if key not in own or as_layer(value, own[key].shape).shape != own[key].shape:
            raise UserError(f"the image UNet's {key} {list(value.shape)} does not fit a video UNet of {sizes}")
        own[key] = as_layer(value, own[key].shape)
    unet.load_state_dict(own)
    for module in unet.modules():
        if isinstance(module, TransformerTemporalModel):
            for parameter in module.proj_out.parameters():
                torch.nn.init.zeros_(parameter)
    return unet
