"""Stable Diffusion 1.x and XL, and everything of their layout (pocket-sd, fine-tuned models), from a folder.

Papers: Rombach et al., arXiv 2112.10752; Podell et al. (XL), arXiv 2307.01952. The weights have licences of their own.
"""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from motionkit.backbones import folders, single_file
from motionkit.backbones.base import VideoBackbone, patch_of
from motionkit.backbones.fingerprints import fingerprint
from motionkit.backbones.parts import spelled
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.weights.model_files import MODEL, TEXT
from motionkit.weights.one_file import OneFile
from motionkit.weights.reading import load_model, read_config

_log = logging.getLogger(__name__)


class StableDiffusion(VideoBackbone):
    """SD 1.x: one CLIP text encoder, its last hidden states (B, L, C)."""

    @torch.no_grad()
    def encode_text(self, prompts: list[str]) -> Tensor:
        """Text states (B, L, C) float32, L = the tokenizer's length; too long a prompt is cut, and the log says so."""
        ids = self._tokens(self.tokenizer, prompts)
        return self._use(self.text_encoder)(ids)[0].float()

    def cut_of(self, prompt: str, tokenizer: CLIPTokenizer | None = None) -> str:
        """One line where a prompt has more tokens than are read; else ""."""
        reads = tokenizer or self.tokenizer
        found, length = len(reads(spelled(prompt, self.taught), verbose=False)["input_ids"]), reads.model_max_length
        return (
            f"the prompt has {found} tokens, {self.spec.name} reads {length}: its end is cut" if found > length else ""
        )

    def _tokens(self, tokenizer: CLIPTokenizer, prompts: list[str]) -> Tensor:
        length = tokenizer.model_max_length
        for line in filter(None, (self.cut_of(prompt, tokenizer) for prompt in prompts)):
            _log.warning(line)
        prompts = [spelled(prompt, self.taught) for prompt in prompts]
        padded = tokenizer(prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return padded.input_ids.to(self.device)  # (B, L)


class StableDiffusionXL(StableDiffusion):
    """SD XL: two text encoders, and a pooled text vector and picture sizes beside the states.

    Text states are (B, L + 1, C): the last row carries the pooled vector in its first P entries, so that text stays one
    tensor for every method.
    """

    def __init__(
        self, *arguments: Any, text_encoder_2: CLIPTextModelWithProjection, tokenizer_2: CLIPTokenizer, **parts: Any
    ) -> None:
        self.text_encoder_2, self.tokenizer_2 = text_encoder_2, tokenizer_2
        super().__init__(*arguments, **parts)

    def parts(self) -> list[Any]:
        """The models that hold weights."""
        return [*super().parts(), self.text_encoder_2]

    @torch.no_grad()
    def encode_text(self, prompts: list[str]) -> Tensor:
        """Text states (B, L + 1, C) float32: both encoders' last states but one, side by side, then the pooled row."""
        first = self._use(self.text_encoder)(self._tokens(self.tokenizer, prompts), output_hidden_states=True)
        first_states = first.hidden_states[-2]
        second = self._use(self.text_encoder_2)(self._tokens(self.tokenizer_2, prompts), output_hidden_states=True)
        states = torch.cat([first_states, second.hidden_states[-2]], dim=-1)  # (B, L, C)
        pooled = functional.pad(second.text_embeds, (0, states.shape[-1] - second.text_embeds.shape[-1]))
        return torch.cat([states, pooled[:, None]], dim=1).float()  # (B, L + 1, C)

    def _conditions(self, text: Tensor, latents: Tensor) -> dict[str, Any]:
        height, width = (side * self.factor for side in latents.shape[-2:])
        # original size, crop corner, target size
        times = torch.tensor([height, width, 0, 0, height, width], device=text.device, dtype=text.dtype)
        pooled = text[:, -1, : self.text_encoder_2.config.projection_dim]
        added = {"text_embeds": pooled, "time_ids": times.expand(len(text), -1)}
        return {"encoder_hidden_states": text[:, :-1], "added_cond_kwargs": added}


def load(
    spec: BackboneSpec, plan: Plan, path: str | None = None, seed: int = 0, online: bool = False
) -> StableDiffusion:
    """A Stable Diffusion of the hub's folder layout, or in one file; `seed` is not used.

    Raises: MissingWeights naming the files and the command that gets them; UserError in one line for another kind of
    model and for damaged or inconsistent files.
    """
    folder = folders.locate(spec, path, online)
    dtype = getattr(torch, plan.dtype)
    unet_config, vae_config, text_configs = part_configs(spec, folder)
    _check_kind(spec, folder, unet_config, vae_config, text_configs)
    parts = read_parts(spec, folder, dtype, UNet2DConditionModel, unet_config, vae_config, text_configs)
    return (StableDiffusionXL if spec.family == "sdxl" else StableDiffusion)(spec, plan, **parts)


def part_configs(spec: BackboneSpec, folder: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The configurations of UNet, autoencoder and each text encoder, of a folder or of a checkpoint in one file.

    Raises: UserError.
    """
    if folder.is_file():
        configs = single_file.read_configs(spec, OneFile(folder))
        return configs["unet"], configs["vae"], [configs[name] for name in _encoders(spec)]
    unet = read_config(folders.part_file(folder, "unet", "config.json"), "UNet2DConditionModel")
    vae = read_config(folders.part_file(folder, "vae", "config.json"), "AutoencoderKL")
    return unet, vae, [read_config(folders.part_file(folder, name, "config.json")) for name in _encoders(spec)]


def read_parts(
    spec: BackboneSpec,
    folder: Path,
    dtype: torch.dtype,
    unet_class: Any,
    unet: dict[str, Any],
    vae: dict[str, Any],
    texts: list[dict[str, Any]],
) -> dict[str, Any]:
    """The constructor's arguments for a backbone of these configurations.

    Raises: UserError in one line for damaged or inconsistent files.
    """

    def weights(part: str, stem: str, build: Any, part_dtype: torch.dtype = dtype, lent_as: str = "") -> Any:
        return load_model(build, folders.part_folders(folder, part), stem, part_dtype, lent_as=lent_as)

    vae_dtype = torch.float32 if "vae" in spec.upcast and dtype == torch.float16 else dtype
    if folder.is_file():
        held = OneFile(folder)
        configs = single_file.read_configs(spec, held)
        one = single_file.read_models(held, dtype, vae_dtype, unet_class, configs)
        schedule = make_scheduler(configs["scheduler"], str(folder))
        return one | {"scheduler": schedule, "fingerprint": fingerprint(spec, str(folder))}
    parts: dict[str, Any] = {
        "vae": weights("vae", MODEL, lambda: AutoencoderKL.from_config(vae), vae_dtype),
        "unet": weights(
            "unet", MODEL, lambda: unet_class.from_config(unet), lent_as=getattr(unet_class, "LENT_AS", "")
        ),
        "scheduler": read_scheduler(folders.part_file(folder, "scheduler", "scheduler_config.json")),
        "fingerprint": fingerprint(spec, str(folder)),
    }
    for i, (name, config) in enumerate(zip(_encoders(spec), texts, strict=True)):
        tokenizer = name.replace("text_encoder", "tokenizer")
        place = folders.part_file(folder, tokenizer, "tokenizer_config.json").parent
        parts[tokenizer] = read_tokenizer(place, config)
        parts[name] = weights(name, TEXT, _text_builder(config, projected=i == 1))
    patch_of(parts["vae"])
    return parts


def _encoders(spec: BackboneSpec) -> tuple[str, ...]:
    return ("text_encoder", "text_encoder_2") if spec.family == "sdxl" else ("text_encoder",)


def _text_builder(config: dict[str, Any], projected: bool) -> Any:
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return lambda: kind(CLIPTextConfig.from_dict(config))


def _check_kind(
    spec: BackboneSpec, folder: Path, unet: dict[str, Any], vae: dict[str, Any], texts: list[dict[str, Any]]
) -> None:
    """Tell related models apart by their configurations, before any weight is read."""
    found_xl = unet.get("addition_embed_type") == "text_time"
    if found_xl != (spec.family == "sdxl"):
        right, wrong = ("SD XL", "1.x") if found_xl else ("SD 1.x or 2.x", "XL")
        raise UserError(
            f"{spec.name}: {folder} holds an {right} model, not SD {wrong}; "
            f"use backbone={'sdxl' if found_xl else 'sd15'} for it"
        )
    check_parts(spec, folder, unet, vae, texts)


def check_parts(
    spec: BackboneSpec, folder: Path, unet: dict[str, Any], vae: dict[str, Any], texts: list[dict[str, Any]]
) -> None:
    """Whether the configurations are the spec's model and fit each other. Raises: UserError."""
    channels = spec.latent_channels
    if (found := unet.get("in_channels", 4)) != channels:
        raise UserError(
            f"{spec.name}: the UNet in {folder} has {found} input channels, not {channels}: "
            f"inpainting and editing models are not supported"
        )
    for key, value in spec.expects:
        if unet.get(key) != value:
            hint = " (SD 2.x has 1024)" if spec.family == "sd" else ""
            raise UserError(
                f"{spec.name}: the UNet in {folder} has {key} {unet.get(key)}, {spec.name} has {value}: "
                f"this is another model{hint}"
            )
    width = sum(config.get("hidden_size", 512) for config in texts)
    if unet.get("cross_attention_dim", 1280) != width:
        raise UserError(
            f"{spec.name}: in {folder} the UNet reads text of width {unet.get('cross_attention_dim')}, "
            f"the text encoder makes {width}: the parts are of different models"
        )
    if (found := vae.get("latent_channels", 4)) != channels:
        raise UserError(f"{spec.name}: the autoencoder in {folder} has {found} latent channels, not {channels}")


def read_scheduler(file: Path) -> DDIMScheduler:
    """A DDIMScheduler with the schedule of the model's own scheduler, whatever its class. Raises: UserError."""
    return make_scheduler(read_config(file), str(file))


def make_scheduler(config: dict[str, Any], file: str) -> DDIMScheduler:
    """As `read_scheduler`, of a configuration that was read from `file`."""
    if config.get("prediction_type", "epsilon") not in ("epsilon", "v_prediction"):
        raise UserError(f"{file}: prediction_type must be epsilon or v_prediction (got {config['prediction_type']!r})")
    known = {k: v for k, v in config.items() if k in inspect.signature(DDIMScheduler.__init__).parameters}
    try:
        return DDIMScheduler(**known | {"clip_sample": False, "thresholding": False})
    except Exception as error:
        raise UserError(f"{file} does not give a valid noise schedule: {error}") from error


def read_tokenizer(folder: Path, text_config: dict[str, Any]) -> CLIPTokenizer:
    """The tokenizer in a folder, no longer than its text encoder reads. Raises: UserError."""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise UserError(f"{folder} holds no CLIP tokenizer: {error}") from error
    length = text_config.get("max_position_embeddings", 77)
    tokenizer.model_max_length = min(tokenizer.model_max_length, length)
    if len(tokenizer) > text_config.get("vocab_size", 49408):
        raise UserError(
            f"{folder} has {len(tokenizer)} tokens, its text encoder {text_config.get('vocab_size')}: "
            f"they are of different models"
        )
    return tokenizer
