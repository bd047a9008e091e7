"""The Animate-X backbone: the network with its autoencoder, text encoder, image encoder and noise schedule."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from motionkit.backbones import folders, placement
from motionkit.backbones.sd import StableDiffusion, check_parts, read_parts
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import UserError
from motionkit.methods.animatex.net.conditions import Conditions, Prepared
from motionkit.methods.animatex.net.config import CLASS_NAME, AnimateXConfig, from_dict
from motionkit.methods.animatex.net.network import AnimateXNetwork
from motionkit.settings.gpu import Plan
from motionkit.weights.building import on_meta
from motionkit.weights.model_files import TEXT, read_json
from motionkit.weights.reading import load_model, read_config

# The authors' schedule in diffusers' words; where 1000 is no multiple of the steps, their list of timesteps differs.
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_OTHER_HALF = ("text_model.", "text_projection.", "logit_scale")  # of a file that holds both halves of CLIP


class AnimateXBackbone(StableDiffusion):
    """A denoiser of whole clips under conditions. Text as in SD; the released model reads the empty prompt only.

    Attributes:
        network: the `AnimateXNetwork`; `unet` is the UNet inside it, with the motion attention.
        image_encoder: a CLIPVisionModelWithProjection.
    """

    def __init__(
        self, *arguments: Any, network: AnimateXNetwork, image_encoder: CLIPVisionModelWithProjection, **parts: Any
    ) -> None:
        self.network, self.image_encoder = network, image_encoder
        for module in network.modules():
            if getattr(module, "exact", False):  # such as what reads coordinates
                module.float()
        super().__init__(*arguments, unet=network.unet, **parts)
        if self.factor != network.config.factor:
            raise UserError(
                f"{self.spec.name}: the autoencoder makes one latent of {self.factor}x{self.factor} pixels, the "
                f"network needs {network.config.factor}: the parts belong to different models"
            )

    def parts(self) -> list[Any]:
        """The models that hold weights."""
        return [self.vae, self.network, self.text_encoder, self.image_encoder]

    @torch.no_grad()
    def encode_images(self, frames: Tensor) -> Tensor:
        """Frames (F, 3, H, W) in [0, 1] to pooled features (F, C) float32, not normalised; stretched to a square."""
        encoder = self._use(self.image_encoder)
        side, found = encoder.config.image_size, []
        for chunk in self._chunks(frames, side * side):
            x = look(chunk.to(self.device, torch.float32), side)
            with self._arithmetic(encoder, whole=True):
                found.append(encoder(x.to(encoder.dtype)).image_embeds.float())
        return torch.cat(found)

    @torch.no_grad()
    def prepare(self, conditions: Conditions, *, network: AnimateXNetwork | None = None) -> Prepared:
        """Everything of the clips that is the same at every step (see `AnimateXNetwork.prepare`)."""
        model = self._use(self.network if network is None else network)
        with self._arithmetic(model):
            return model.prepare(conditions.to(self.device, model.dtype))

    @torch.no_grad()
    def denoise(
        self,
        latents: Tensor,
        t: float | Tensor,
        text: Tensor | None = None,
        *,
        unet: Any = None,
        prepared: Prepared | None = None,
        **unet_arguments: Any,
    ) -> Tensor:
        """v (B, C, F, h, w), float32, for clips of that shape at timestep t (or (B,)), under prepared conditions.

        Without `prepared` the text (B, L, D) is the only condition. `unet` replaces the whole network (a tuned copy).
        """
        model = self._use(self.network if unet is None else unet)
        if prepared is None:
            if text is None:
                raise ValueError("denoise takes prepared conditions, or at least text")
            prepared = self.prepare(Conditions(text, latents.shape[2]), network=model)
        with self._arithmetic(model.unet):
            return model(latents.to(self.device, model.dtype), t, prepared, **unet_arguments).float()

    def fresh_unet(self, own: Collection[str] | None = None) -> Any:
        """As in the base class, of the whole network."""
        network = empty_network(self.network.config)
        state = {k: v.clone() if own is None or k in own else v for k, v in self.network.state_dict().items()}
        network.load_state_dict(state, assign=True)
        placement.prepare_unet(self.plan, network.unet)
        if self.plan.offload == "none":
            network.to(self.plan.device)
        return network.eval().requires_grad_(False)


def look(frames: Tensor, side: int) -> Tensor:
    """What a CLIP image encoder of that side reads of frames (F, 3, H, W) in [0, 1]: stretched, normalised."""
    mean, std = (torch.tensor(v, device=frames.device).reshape(3, 1, 1) for v in (_CLIP_MEAN, _CLIP_STD))  # (3, 1, 1)
    return (functional.interpolate(frames, (side, side), mode="bilinear", antialias=True) - mean) / std


def empty_network(config: AnimateXConfig) -> AnimateXNetwork:
    """A network whose weights are only shapes, to be filled; nothing is drawn."""
    with on_meta():
        return AnimateXNetwork(config)


def load(
    spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False
) -> AnimateXBackbone:
    """An Animate-X model from a folder (see `motionkit convert animatex`); `seed` is not used.

    Raises: MissingWeights naming the files and the command that gets them; UserError in one line for another kind of
    model and for damaged or inconsistent files.
    """
    folder = folders.locate(spec, path, online)
    config = from_dict(read_config(folders.part_file(folder, "unet", "config.json"), CLASS_NAME))
    vae = read_config(folders.part_file(folder, "vae", "config.json"), "AutoencoderKL")
    text = read_config(folders.part_file(folder, "text_encoder", "config.json"))
    image = image_config(read_json(folders.part_file(folder, "image_encoder", "config.json")))
    check_parts(spec, folder, {"cross_attention_dim": config.context_dim}, vae, [text])
    if image["projection_dim"] != config.feature_dim:
        raise UserError(
            f"{spec.name}: in {folder} the network reads image features of width {config.feature_dim}, the image "
            f"encoder makes {image['projection_dim']}: the parts belong to different models"
        )
    dtype = getattr(torch, plan.dtype)
    parts = read_parts(spec, folder, dtype, _Build, config.as_dict(), vae, [text])
    encoder = load_model(
        lambda: CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(image)),
        folders.part_folders(folder, "image_encoder"),
        TEXT,
        dtype,
        skip=_OTHER_HALF,
    )
    return AnimateXBackbone(spec, plan, network=parts.pop("unet"), image_encoder=encoder, **parts)


def image_config(config: dict[str, Any]) -> dict[str, Any]:
    """The image encoder's configuration, also out of one that describes both halves of CLIP. Raises: UserError."""
    inner = config.get("vision_config", config)
    width = config.get("projection_dim", inner.get("projection_dim"))
    if not isinstance(inner, dict) or not isinstance(width, int):
        raise UserError("the image encoder's config.json is not that of a CLIP vision model with a projection")
    return {k: v for k, v in inner.items() if not k.startswith("_")} | {"projection_dim": width}


class _Build:
    """What `read_parts` asks of a class of diffusers; the pocket's UNet weights are partly those of a video UNet."""

    LENT_AS = "unet."

    @staticmethod
    def from_config(config: dict[str, Any]) -> AnimateXNetwork:
        return AnimateXNetwork(from_dict(config))
