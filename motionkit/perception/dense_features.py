"""Features of every place in a picture: the decoder of a diffusion UNet on lightly noised latents, and DINOv2's tokens.

Zhang et al. 2023, arXiv 2305.15347: the UNet of SD 1.5 at t = 100, activations of three decoder layers before their
skip connections join, and the last layer's tokens of DINOv2. Unlike there, pictures keep their aspect and no caption
network is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from motionkit.backbones.noise_levels import level_at
from motionkit.errors import UserError
from motionkit.perception.networks import NETWORKS, load, normalisation
from motionkit.perception.pixels import long_side, to_pixels

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone

Step = Callable[[int, int], None]
_POINTS = 3  # decoder blocks that are read: at strides 64, 32 and 16 of SD 1.5
_BATCH = 4  # frames at once through DINOv2


class Noise(Protocol):
    """The part of `CorrespondenceSettings` that the UNet's features depend on."""

    sd_side: int
    timestep: int
    seed: int


@torch.no_grad()
def sd_features(
    backbone: VideoBackbone, frames: np.ndarray, subject: str, settings: Noise, progress: Step | None = None
) -> list[Tensor]:
    """Decoder features of every frame, each processed alone.

    A frame passes the UNet as a clip of its own, and motion modules are passed by: features are those of the image
    model, whatever the other frames are.

    Args:
        backbone: with SD 1.x's UNet or AnimateDiff's on it.
        frames: (F, H, W, 3) uint8.
        subject: in the prompt "a photo of a ...", or nothing.

    Returns:
        Three tensors (F, C, h, w) float32 on the CPU, coarse to fine.

    Raises:
        UserError: the UNet is of another build, or gives values that are not numbers.
    """
    unet = backbone.unet
    points = decoder_points(unet)
    unit = backbone.factor * 2 ** (len(unet.config.block_out_channels) - 1)
    height, width = long_side(frames.shape[1], frames.shape[2], settings.sd_side, unit)
    text = backbone.encode_text([f"a photo of a {subject}" if subject else ""])
    noise: Tensor | None = None
    found: list[list[Tensor]] = [[] for _ in points]
    with passed_by(unet), listening(points) as heard:
        for i in range(len(frames)):
            picture = to_pixels(frames[i : i + 1], height, width, (0.0,) * 3, (1.0,) * 3)  # (1, 3, H', W')
            latents = backbone.encode(picture)  # (1, C, h, w)
            if noise is None:  # one for all frames, drawn on the CPU
                noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(settings.seed))
            noisy = level_at(backbone.image_scheduler, settings.timestep, latents).mix(
                latents, noise.to(latents.device)
            )
            backbone.denoise(noisy[:, :, None], settings.timestep, text)  # (1, C, 1, h, w)
            for layer, point in zip(found, points, strict=True):
                layer.append(heard[point].float().cpu())
            if progress:
                progress(i + 1, len(frames))
    layers = [torch.cat(layer) for layer in found]
    if not all(torch.isfinite(layer).all() for layer in layers):
        raise UserError("correspondence: the UNet returned NaN or infinity; try gpu.dtype=float32")
    return layers


def decoder_points(unet: Any) -> list[nn.Module]:
    """The layers whose output the last layer of each of the first three decoder blocks joins with its skip connection.

    On SD 1.5: up_blocks.0.resnets.1, up_blocks.1.attentions.1 and up_blocks.2.attentions.1. On a smaller model of the
    same kind there may be fewer blocks.

    Raises:
        UserError: a UNet without such blocks.
    """
    points: list[nn.Module] = []
    for block in list(getattr(unet, "up_blocks", ()))[:_POINTS]:
        layers: Any = getattr(block, "attentions", None) or getattr(block, "resnets", ())
        if len(layers) < 2:
            raise UserError("correspondence: sd_dino does not support this UNet's decoder: use backend=dino")
        points.append(layers[-2])
    if not points:
        raise UserError(f"correspondence: sd_dino cannot read a {type(unet).__name__}: use backend=dino")
    return points


@contextmanager
def listening(points: list[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Records the last output of each module, (B, C, h, w), within the block."""
    heard: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        value = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
        heard[module] = value.detach()

    handles = [point.register_forward_hook(keep) for point in points]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def passed_by(unet: nn.Module) -> Iterator[None]:
    """Make every motion module the identity, within the block."""
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

    def back(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
        return inputs[0] if inputs else named["hidden_states"]

    modules = [module for module in unet.modules() if isinstance(module, AnimateDiffTransformer3D)]
    handles = [module.register_forward_hook(back, with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def dino_features(
    frames: np.ndarray,
    weights: str | None = None,
    side: int = 840,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    progress: Step | None = None,
) -> Tensor:
    """DINOv2's tokens of the last layer, normalised by its final norm, as a grid.

    Args:
        frames: (F, H, W, 3) uint8.
        side: longer side in pixels that the network sees.

    Returns:
        (F, C, h, w) float32 on the CPU; h and w are the seen sides over the patch's.

    Raises:
        MissingWeights, UserError: as `networks.load`; UserError for values that are not numbers.
    """
    model, folder = load(NETWORKS["dinov2"], weights, device, dtype)
    patch = model.config.patch_size
    height, width = long_side(frames.shape[1], frames.shape[2], side, patch)
    mean, deviation = normalisation(folder)
    parts = []
    for start in range(0, len(frames), _BATCH):
        x = to_pixels(frames[start : start + _BATCH], height, width, mean, deviation)
        tokens = model(x.to(device, model.dtype)).last_hidden_state[:, 1:]  # (f, h w, C) without the class token
        grid = rearrange(tokens, "f (h w) c -> f c h w", h=height // patch)  # (f, C, h, w)
        parts.append(grid.float().cpu())
        if progress:
            progress(min(start + _BATCH, len(frames)), len(frames))
    features = torch.cat(parts)
    if not torch.isfinite(features).all():
        raise UserError("correspondence: DINOv2 returned NaN or infinity; try gpu.dtype=float32")
    return features
