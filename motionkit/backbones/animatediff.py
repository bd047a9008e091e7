"""AnimateDiff: an image model of Stable Diffusion's kind with attention over time between its layers.

Paper: Guo et al. 2023, arXiv 2307.04725. Any SD 1.x or XL base of the hub's layout, any MotionAdapter of diffusers.
The weights have licences of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from motionkit.backbones import catalog, folders, motion_files, motion_original
from motionkit.backbones.fingerprints import fingerprint
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.sd import (
    StableDiffusion,
    StableDiffusionXL,
    check_parts,
    part_configs,
    read_parts,
    read_scheduler,
)
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.weights import places
from motionkit.weights.building import on_meta
from motionkit.weights.model_files import MODEL
from motionkit.weights.one_file import OneFile
from motionkit.weights.reading import load_model, read_config

_log = logging.getLogger(__name__)

# What the published modules were trained with; the betas of the image models' own folders are scaled_linear to 0.012.
BETAS: dict[str, dict[str, Any]] = {
    "animatediff": {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012},
    "animatediff-xl": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.020},
}
_REST = {
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}


class FrameGroupNorm(nn.GroupNorm):
    """Group norm of clips (B, C, F, h, w) with statistics of each frame alone, as AnimateDiff's main code has it."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, h, w) to the same shape."""
        frames = x.transpose(1, 2).flatten(0, 1)  # (B F, C, h, w)
        return super().forward(frames).unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)  # (B, C, F, h, w)


class AnimateDiffBackbone(StableDiffusion):
    """A denoiser of whole clips: SD 1.x with motion modules. Text as in SD, one state per clip.

    Attributes:
        positions: how many frames the motion modules support; more are refused.
        per_frame_norm: whether their group norm sees each frame alone.
    """

    def __init__(self, *arguments: Any, per_frame_norm: bool = False, **parts: Any) -> None:
        self.per_frame_norm = per_frame_norm
        set_motion_norm(parts["unet"], per_frame_norm)
        super().__init__(*arguments, **parts)
        self.positions = int(self.unet.config.motion_max_seq_length)

    def denoise(
        self, latents: Tensor, t: float | Tensor, text: Tensor, *, unet: Any = None, **unet_arguments: Any
    ) -> Tensor:
        """The raw prediction (B, C, F, h, w), float32, for clips of that shape at timestep t (a number or (B,)).

        The clip passes the UNet whole; text (B, L, C) is per clip and is repeated per frame here, as diffusers'
        UNetMotionModel does not. `unet` replaces the backbone's own (a tuned copy); other arguments go to its forward.
        Raises: UserError for more frames than the motion modules have positions for.
        """
        frames = latents.shape[2]
        motion_files.check_frames(self.spec, frames, self.positions)
        unet = self._use(self.unet if unet is None else unet)
        dtype = getattr(unet, "dtype", self.dtype)
        x = latents.to(self.device, dtype)
        times = torch.as_tensor(t, device=self.device).expand(latents.shape[0])
        conditions = self._conditions(text.to(self.device, dtype), x)
        states = conditions.pop("encoder_hidden_states").repeat_interleave(frames, 0)  # (B F, L, C)
        with self._arithmetic(unet):
            return unet(x, times, states, **conditions, **unet_arguments).sample.float()

    def fresh_unet(self, own: Collection[str] | None = None) -> Any:
        """As in the base class; the copy's motion modules normalise as the backbone's do."""
        return set_motion_norm(super().fresh_unet(own), self.per_frame_norm)


class AnimateDiffXLBackbone(AnimateDiffBackbone, StableDiffusionXL):
    """SD XL with motion modules; text states carry the pooled row as in `StableDiffusionXL`."""


def set_motion_norm(unet: UNetMotionModel, per_frame: bool) -> UNetMotionModel:
    """Let the motion modules normalise each frame alone, or all frames of a clip together. Names and weights stay."""
    for module in unet.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            module.norm.__class__ = FrameGroupNorm if per_frame else nn.GroupNorm
    return unet


def load(
    spec: BackboneSpec,
    plan: Plan,
    path: str | None = None,
    seed: int = 0,
    online: bool = False,
    motion: MotionOptions | None = None,
) -> AnimateDiffBackbone:
    """The image model of `path` (or the spec's) with its motion modules; `seed` is not used.

    Raises: MissingWeights naming the files and the command that gets them; UserError in one line for modules that do
    not fit the image model (before any weight is read), and for damaged or inconsistent files.
    """
    motion = motion or MotionOptions()
    motion.check(spec)
    folder = folders.locate(spec, path, online)
    modules = motion_files.locate(spec, folder, motion, online)
    held = OneFile(modules) if modules.is_file() else None
    assert spec.base is not None
    base = replace(catalog.get(spec.base), name=spec.name, expects=spec.expects)
    unet, vae, texts = part_configs(base, folder)
    adapter = motion_original.config_of(held) if held else read_config(modules / "config.json", "MotionAdapter")
    check_configs(spec, folder, unet, modules, adapter)
    check_parts(base, folder, unet, vae, texts)
    dtype = getattr(torch, plan.dtype)
    parts = read_parts(base, folder, dtype, UNet2DConditionModel, unet, vae, texts)
    if held:
        found = motion_original.read(held, adapter, dtype)
    else:
        found = load_model(lambda: MotionAdapter.from_config(adapter), [modules], MODEL, dtype)
    parts["unet"] = join(parts["unet"], found)
    image_scheduler = parts["scheduler"]
    parts["scheduler"] = schedule(spec, image_scheduler, motion)
    parts["fingerprint"] = fingerprint(spec, path, motion=motion)
    backbone = class_of(spec)(spec, plan, **parts, per_frame_norm=motion.per_frame(spec))
    backbone.image_scheduler = image_scheduler
    return backbone


def check_configs(
    spec: BackboneSpec, folder: Path, unet: dict[str, Any], modules: Path, adapter: dict[str, Any]
) -> None:
    """Check the configurations of the image UNet and of the motion modules against each other.

    Raises: UserError naming both kinds when they do not fit.
    """
    found_xl, wanted_xl = unet.get("addition_embed_type") == "text_time", spec.family == "animatediff-xl"
    if found_xl != wanted_xl:
        found, other = ("SD XL", "animatediff-sdxl") if found_xl else ("SD 1.x or 2.x", "animatediff-sd15")
        raise UserError(f"{spec.name}: {folder} holds an {found} model; use backbone={other} for it")
    motion_files.check_match(spec, folder, unet, modules, adapter)


def join(image: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
    """The video UNet that holds the tensors of both; nothing is copied, nothing is drawn. Raises: UserError."""
    with on_meta():
        try:
            unet = UNetMotionModel.from_unet2d(image, adapter, load_weights=False)
        except (ValueError, TypeError) as error:
            raise UserError(f"these motion modules do not fit the image model: {error}") from error
    state = {**image.state_dict(), **adapter.state_dict()}
    wanted = set(unet.state_dict())
    if odd := sorted(wanted ^ set(state)):
        what = "lack" if odd[0] in wanted else "do not use"
        raise UserError(f"the image model and the motion modules together {what} {len(odd)} weights, e.g. {odd[0]}")
    unet.load_state_dict(state, assign=True)
    return unet.eval().requires_grad_(False)


def schedule(spec: BackboneSpec, base: DDIMScheduler, motion: MotionOptions) -> DDIMScheduler:
    """The noise schedule that the motion modules were trained with, or with `schedule=base` the image model's own."""
    if motion.schedule == "base":
        return base
    if spec.asset:
        return read_scheduler(places.assets() / spec.asset / "scheduler" / "scheduler_config.json")
    betas = BETAS[spec.family]
    if any(base.config[key] != value for key, value in betas.items()):
        _log.info(
            "%s: betas %s to %s, as its motion modules were trained; backbone.motion_schedule=base takes those "
            "of the image model",
            spec.name,
            betas["beta_schedule"],
            betas["beta_end"],
        )
    return DDIMScheduler(**betas, **_REST, prediction_type=base.config.prediction_type)


def class_of(spec: BackboneSpec) -> type[AnimateDiffBackbone]:
    """The class for a backbone's family."""
    return AnimateDiffXLBackbone if spec.family == "animatediff-xl" else AnimateDiffBackbone
