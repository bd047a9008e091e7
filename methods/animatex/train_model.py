"""The initial network of a training, which of its weights are trained, and the folders that it is written to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor

from motionkit import backbones
from motionkit.backbones.folders import part_folders
from motionkit.errors import UserError
from motionkit.methods.animatex.net.backbone import SCHEDULE, AnimateXBackbone, look
from motionkit.methods.animatex.net.config import POCKET, RELEASED
from motionkit.methods.animatex.net.network import AnimateXNetwork
from motionkit.methods.animatex.net.start import from_video_unet
from motionkit.settings.gpu import Plan
from motionkit.weights import eight_bit, places
from motionkit.weights.building import drawing
from motionkit.weights.hashing import hash_path
from motionkit.weights.model_files import MODEL, TEXT

from .train_config import TrainOptions, VariantSettings
from .train_loss import Denoiser

if TYPE_CHECKING:
    from motionkit.backbones.catalog import BackboneSpec

VIDEO = {"pocket-animatex": "pocket-modelscope", "animatex": "modelscope"}  # what a new network begins as
# A CLIP vision model of 0.18 M weights, in place of the released model's ViT-H/14.
POCKET_ENCODER: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 8,
    "projection_dim": POCKET.feature_dim,
    "attention_dropout": 0.0,
}
# Of the pocket's UNet only these weights learn, so that its file stays small: what reads the new channels, two finer
# levels, attention within a frame, where the reference's parts are looked up, and norms; with `pocket-time` attention
# along time as well, through which the reference comes as a latent. The rest is lent.
POCKET_LEARNS = (
    "conv_in.",
    "conv_out.",
    "conv_norm_out.",
    "time_embedding.",
    "down_blocks.0.",
    "up_blocks.2.",
    "down_blocks.1.resnets.",
    "up_blocks.1.resnets.",
)
_ANYWHERE = (".attn1.", ".norm.", ".norm1.", ".norm2.", ".norm3.")


def start(spec: BackboneSpec, options: TrainOptions, plan: Plan, seed: int) -> AnimateXBackbone:
    """The backbone as it is before the first step, in float32.

    Raises:
        UserError: settings that do not fit each other; MissingWeights: of the model that it starts from.
    """
    plan = replace(plan, dtype="float32")
    own = options.start == "own" or (options.start == "auto" and spec.name not in ("pocket-animatex",))
    if own:
        if options.variant != VariantSettings() and options.renew != "indicator":
            raise UserError("train.variant needs a new indicator: give train.renew=indicator or train.start=video too")
        found = backbones.load(spec, plan, path=options.backbone_path)
        if not isinstance(found, AnimateXBackbone):
            raise UserError(f"train.backbone={spec.name} is not an Animate-X model")
        return _renewed(found, options, plan, seed)
    if spec.name not in VIDEO:
        raise UserError(
            f"train.start={options.start}: {spec.name} has no video model to start from: give train.start=own"
        )
    folder = None if options.start in ("auto", "video") else options.start
    base = backbones.load(backbones.get(VIDEO[spec.name]), plan, path=folder)
    config, variant = POCKET if spec.name == "pocket-animatex" else RELEASED, options.variant
    config = replace(
        config,
        temporal=options.temporal or "transformer",
        parallel=variant.parallel,
        indicator=replace(config.indicator, query=variant.query),
    )
    with drawing(seed):
        network = from_video_unet(base.unet, config)
        encoder = _encoder(spec, options, plan)
    parts = {"vae": base.vae, "text_encoder": base.text_encoder, "tokenizer": base.tokenizer}
    made = f"new on {base.fingerprint()}, seed {seed}, {config.as_dict()}"
    return AnimateXBackbone(
        spec,
        plan,
        network=network,
        image_encoder=encoder,
        scheduler=DDIMScheduler(**SCHEDULE),
        fingerprint=made,
        **parts,
    )


def _renewed(backbone: AnimateXBackbone, options: TrainOptions, plan: Plan, seed: int) -> AnimateXBackbone:
    """The backbone with new layers, which add nothing, where another kind of them or new ones are asked for."""
    own = backbone.network.config
    time = options.renew == "time" or options.temporal not in (None, own.temporal)
    implicit = options.renew == "indicator"
    if not time and not implicit:
        return backbone
    config = replace(own, temporal=options.temporal or own.temporal)
    if implicit:
        variant = options.variant
        config = replace(config, parallel=variant.parallel, indicator=replace(config.indicator, query=variant.query))
    with drawing(seed):
        network = AnimateXNetwork(config)
    state = backbone.network.state_dict()
    kept = {k: v for k, v in state.items() if not (time and _along_time(k) or implicit and _implicit(k))}
    network.load_state_dict(kept, strict=False)
    what = " and ".join(["along time"] * time + ["in the indicator"] * implicit)
    return AnimateXBackbone(
        backbone.spec,
        plan,
        network=network,
        image_encoder=backbone.image_encoder,
        scheduler=backbone.scheduler,
        fingerprint=f"new {what} on {backbone.fingerprint()}, seed {seed}, {config.as_dict()}",
        vae=backbone.vae,
        text_encoder=backbone.text_encoder,
        tokenizer=backbone.tokenizer,
    )


def _encoder(spec: BackboneSpec, options: TrainOptions, plan: Plan) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    if spec.name == "pocket-animatex":
        return CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(POCKET_ENCODER))
    if not options.backbone_path:
        raise UserError(
            "a new animatex network also needs the other parts: give train.backbone_path=FOLDER with vae, "
            "text_encoder, tokenizer and image_encoder"
        )
    whole: Any = backbones.load(spec, plan, path=options.backbone_path)
    return whole.image_encoder


def learns(name: str, which: str, temporal: str = "transformer") -> bool:
    """Whether a weight of the network learns. `which`: see `train_config.LEARN`."""
    if which == "temporal":
        return _along_time(name)
    if which == "all" or not name.startswith("unet."):
        return True
    inner = name.removeprefix("unet.")
    if ".motion." in inner or inner.startswith("conv_in."):
        return True
    if which == "conditions":
        return False
    if (_along_time(name) and temporal == "mamba") or inner.startswith(POCKET_LEARNS):
        return True
    if _along_time(name):
        return which == "pocket-time" and ".ff." not in inner
    return any(part in inner for part in _ANYWHERE)


def _along_time(name: str) -> bool:
    return name.startswith("unet.") and ("temp_attentions." in name or "transformer_in." in name)


def _implicit(name: str) -> bool:
    """Whether it is a weight of the implicit pose indicator, or of the attention that reads it."""
    return name.startswith("indicator.") or (name.startswith("unet.") and ".motion." in name)


def denoiser(backbone: AnimateXBackbone, options: TrainOptions) -> Denoiser:
    """What learns, as one module; weights that do not learn get no gradient."""
    network, side = backbone.network, backbone.image_encoder.config.image_size
    temporal = network.config.temporal
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(learns(name, options.learns, temporal))
    if backbone.device.type == "cpu":
        network.unet.set_attn_processor(AttnProcessor())
    encoder = backbone.image_encoder if options.trains_encoder else None
    if encoder is not None:
        encoder.requires_grad_(options.learns != "temporal")
    if backbone.plan.checkpointing:
        from motionkit.backbones.checkpointing import enable

        enable(network.unet)
    return Denoiser(network, encoder, _looker(side))


def _looker(side: int) -> Callable[[Tensor], Tensor]:
    return lambda pictures: look(pictures, side)


def write_folder(folder: Path, backbone: AnimateXBackbone, model: Denoiser, half: bool, reference: str) -> None:
    """A whole model folder, for `backbone.path=FOLDER`: what learned, and the other parts as they are.

    Args:
        reference: how the reference entered in training; its configuration says so from then on.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    dtype = torch.float16 if half else torch.float32
    network: Any = model.network
    sizes = replace(network.config, reference=reference).as_dict()
    _write(temporary / "unet", MODEL, network.state_dict(), dtype, sizes)
    encoder = getattr(model, "image_encoder", backbone.image_encoder)
    _write(temporary / "image_encoder", TEXT, encoder.state_dict(), dtype, encoder.config.to_diff_dict())
    _write(
        temporary / "text_encoder",
        TEXT,
        backbone.text_encoder.state_dict(),
        dtype,
        backbone.text_encoder.config.to_diff_dict(),
    )
    _write(temporary / "vae", MODEL, backbone.vae.state_dict(), dtype, _plain(backbone.vae.config))
    backbone.tokenizer.save_pretrained(temporary / "tokenizer")
    backbone.scheduler.save_pretrained(temporary / "scheduler")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def write_compact(folder: Path, backbone: AnimateXBackbone, model: Denoiser, which: str) -> int:
    """What the package ships: weights that the lenders do not hold, in eight bits; returns their bytes.

    The lenders are named in shared.json, which counts in the package's own assets only. Where nothing but the layers
    along time learned, pocket-animatex lends all the rest.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    network: Any = model.network
    which = which if which in ("all", "temporal") else "pocket-time"  # what an earlier training changed is its own too
    state: dict[str, Tensor] = network.state_dict()
    lender, lent = VIDEO["pocket-animatex"], ["unet", "vae", "text_encoder", "tokenizer"]
    own = {k for k in state if learns(k, which, network.config.temporal)}
    own |= set() if which == "temporal" else _unlike(places.assets() / lender, state)
    _write(temporary / "unet", MODEL, {k: state[k] for k in state if k in own}, None, network.config.as_dict())
    if which == "temporal":
        lender, lent = "pocket-animatex", [*lent, "image_encoder"]
    else:
        encoder = getattr(model, "image_encoder", backbone.image_encoder)
        _write(temporary / "image_encoder", TEXT, encoder.state_dict(), None, encoder.config.to_diff_dict())
    backbone.scheduler.save_pretrained(temporary / "scheduler")
    shared = {part: f"{lender}/{part}" for part in lent}
    shared["made_with"] = hash_path(places.assets() / lender / "unet")  # it fits that lender alone
    (temporary / "shared.json").write_text(json.dumps(shared) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    return sum(f.stat().st_size for f in folder.rglob("*.safetensors"))


def _unlike(folder: Path, state: dict[str, Tensor]) -> set[str]:
    """Names of weights that a video model's folder, and what lends to it, do not hold, or not so: they are not lent."""
    held: dict[str, Tensor] = {}
    for part in part_folders(folder, "unet"):
        for file in part.glob("*.safetensors"):
            held = eight_bit.unpack_all(load_file(file)) | held
    lent = {name: held.get(name.removeprefix("unet.")) for name in state}
    return {
        name
        for name, value in state.items()
        if (other := lent[name]) is None
        or other.numel() != value.numel()
        or not torch.equal(other.reshape(value.shape).to(value), value)
    }


def _write(
    folder: Path, stem: str, state: dict[str, Tensor], dtype: torch.dtype | None, config: dict[str, Any]
) -> None:
    """Weights in a type, or in eight bits when that is None, and their configuration."""
    folder.mkdir(parents=True)
    kept = {k: v.detach().cpu() for k, v in state.items() if v.is_floating_point()}
    kept = eight_bit.pack(kept) if dtype is None else {k: v.to(dtype).contiguous() for k, v in kept.items()}
    save_file(kept, folder / f"{stem}.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")


def _plain(config: Any) -> dict[str, Any]:
    """A diffusers configuration without places on this disk."""
    return {k: v for k, v in dict(config).items() if k != "_name_or_path"} | {"_class_name": "AutoencoderKL"}


def check_plan(plan: Plan, options: TrainOptions) -> None:
    """Refuse plans under which training would fail or be wrong. Raises: UserError."""
    if plan.offload != "none":
        raise UserError(
            f"training keeps the network on the device: give gpu.offload=none (not {plan.offload}), with "
            "gpu.checkpointing=true or a smaller size= if memory is short"
        )
    if plan.device == "cpu" and plan.autocast == "bfloat16" and options.recipe.frames == 1:
        # torch 2.13 returns unset memory as the weight gradient of such a convolution (only for a depth of two).
        raise UserError(
            "train.frames=1 with gpu.dtype=bfloat16 on a CPU gives wrong gradients: use train.frames=2 or "
            "more, or gpu.dtype=float32"
        )
