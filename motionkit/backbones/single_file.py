"""Stable Diffusion 1.x and XL in one file, as people pass models on, with the configurations that come with motionkit.

Layouts: CompVis/stable-diffusion (`model.diffusion_model`, `first_stage_model`, `cond_stage_model.transformer`) and
Stability-AI/generative-models (XL: `conditioner.embedders`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from motionkit.backbones.clip_tokenizer import clip_tokenizer
from motionkit.backbones.spec import BackboneSpec
from motionkit.errors import UserError
from motionkit.weights import places
from motionkit.weights.model_files import read_json
from motionkit.weights.one_file import OneFile, Source, fill
from motionkit.weights.published_names import open_clip_name, unet_names, vae_names

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
XL_TEXT, XL_TEXT_2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
_STRICT = (UNET, f"{VAE}encoder.", f"{VAE}decoder.", TEXT, XL_TEXT, XL_TEXT_2)
_LET_GO = ("position_ids", "logit_scale")  # not needed: a table of 0, 1, 2, ..., and CLIP's scale for comparing images
_log = logging.getLogger(__name__)
Find = Callable[[Collection[str]], Mapping[str, Source]]
_ATTENTION = ("input_blocks.1.1", "input_blocks.4.1")  # the first of SD 1.x and 2.x, and of XL
_WIDTHS = {1024: "SD 2.x", 1280: "the refiner of SD XL"}


def read_configs(spec: BackboneSpec, held: OneFile) -> dict[str, dict[str, Any]]:
    """The configuration of each part of the spec's model, checked against the file's names. Raises: UserError."""
    if UNET + "input_blocks.0.0.weight" not in held.shapes:
        raise UserError(
            f"{spec.name}: {held.file} is not a Stable Diffusion checkpoint: it has no weights named {UNET}..."
        )
    xl = spec.one_file == "sdxl"
    found = next((held.shapes[key][-1] for place in _ATTENTION if (key := _key_of(place)) in held.shapes), 0)
    wanted = 2048 if xl else 768
    kind = {2048: "SD XL", 768: "SD 1.x", **_WIDTHS}.get(found, "another")
    configs = _shipped(spec.one_file)
    if wanted != found and kind != "another":
        other = spec.name.removesuffix(spec.name.rpartition("-")[2]) + {2048: "sdxl", 768: "sd15"}.get(found, "")
        hint = f"; use backbone={other} for it" if found in (768, 2048) else ", which motionkit does not support"
        raise UserError(f"{spec.name}: {held.file} is {kind}{hint}")
    configs["unet"]["in_channels"] = held.shapes[UNET + "input_blocks.0.0.weight"][1]
    if "v_pred" in held.shapes:  # how fine-tuned XL models say that they predict the velocity
        configs["scheduler"]["prediction_type"] = "v_prediction"
    if "ztsnr" in held.shapes:
        configs["scheduler"]["rescale_betas_zero_snr"] = True
        configs["scheduler"]["timestep_spacing"] = "trailing"  # its last timestep is pure noise: begin there
    return configs


def _key_of(place: str) -> str:
    return f"{UNET}{place}.transformer_blocks.0.attn2.to_k.weight"


def _shipped(name: str) -> dict[str, dict[str, Any]]:
    configs: dict[str, Any] = read_json(places.PACKAGE / "configs" / f"{name}.json")
    return {part: {k: v for k, v in config.items() if not k.startswith("_")} for part, config in configs.items()}


def read_models(
    held: OneFile, dtype: torch.dtype, vae_dtype: torch.dtype, unet_class: Any, configs: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The models and tokenizers of a file, by the names of a backbone's constructor.

    Raises: UserError in one line for weights that are missing, left over, or of another shape.
    """
    used: set[str] = set()

    def part(title: str, build: Callable[[], Any], find: Find, kind: torch.dtype = dtype) -> Any:
        model, names = fill(build, held, find, kind, title)
        used.update(names)
        return model

    unet, vae = configs["unet"], configs["vae"]
    parts = {
        "unet": part("UNet", lambda: unet_class.from_config(unet), _named(UNET, unet_names)),
        "vae": part("autoencoder", lambda: AutoencoderKL.from_config(vae), _named(VAE, vae_names), vae_dtype),
    }
    for name in (n for n in configs if n.startswith("text_encoder")):
        second = name.endswith("_2")
        kind: Any = CLIPTextModelWithProjection if second else CLIPTextModel
        build = partial(kind, CLIPTextConfig.from_dict(configs[name]))
        prefix = XL_TEXT if "text_encoder_2" in configs else TEXT
        find = _open_clip if second else _clip_of(held, prefix)
        parts[name] = part(name.replace("_", " "), build, find)
        parts[name.replace("text_encoder", "tokenizer")] = clip_tokenizer("!" if second else "<|endoftext|>")
    _check_left(held, used)
    return parts


def _named(prefix: str, table: Callable[[Collection[str]], dict[str, str]]) -> Find:
    return lambda names: {name: Source(prefix + theirs) for name, theirs in table(names).items()}


def _clip_of(held: OneFile, prefix: str) -> Find:
    inner = "text_model." if any(key.startswith(f"{prefix}text_model.") for key in held.shapes) else ""
    return lambda names: {name: Source(prefix + inner + name.removeprefix("text_model.")) for name in names}


def _open_clip(names: Collection[str]) -> dict[str, Source]:
    found = {name: open_clip_name(name) for name in names}
    return {n: Source(XL_TEXT_2 + key, third, key == "text_projection") for n, (key, third) in found.items()}


def _check_left(held: OneFile, used: set[str]) -> None:
    left = [key for key in held.shapes if key not in used and not key.endswith(_LET_GO)]
    if odd := [key for key in left if key.startswith(_STRICT)]:
        raise UserError(f"{held.file} holds {len(odd)} weights that do not belong to its kind of model, e.g. {odd[0]}")
    if left:
        _log.debug("%s: %d tensors beside the model are not read, e.g. %s", held.file.name, len(left), left[0])
