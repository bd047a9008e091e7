"""Trains Animate-X's clip network from the image network: time and motion tokens, and the rest slowly.

The network begins as the image network on every frame. Poses change as little as for that network: realigned to other
bodies in three clips of ten they cost five times the error, and what is learnt from such clips is not to trust a pose
(the held-out error of v rose from .024 to .042 within 100 steps). Clips are rendered and encoded once, with the
renderer's poses and with estimated ones, as `motionkit train method=animatex` does it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from motionkit import backbones
from motionkit.errors import UserError, in_one_line
from motionkit.methods.animatex.net.backbone import AnimateXBackbone
from motionkit.settings.gpu import Plan
from motionkit.sprites.export import write_dataset
from motionkit.training.loop import Loop, arguments
from motionkit.training.recipes.pocket_sd import SCHEDULE, recipe
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights import eight_bit
from motionkit.weights.hashing import hash_tensors
from motionkit.weights.model_files import MODEL, TEXT

from .image_batches import EPI
from .image_net import inflated
from .image_stage import build as build_image
from .train_batch import Examples
from .train_config import TrainOptions
from .train_data import Encoders, PoseClips
from .train_loss import Denoiser, make_loss, measure
from .train_model import POCKET_ENCODER, denoiser

SLOW = 0.05  # of the rate, for what was learnt on single pictures
NEW = ("temp_convs.", "temp_attentions.", "transformer_in.", ".motion.", "slot_", "indicator.", "image_encoder.")
OPTIONS: dict[str, Any] = {
    "learn": "all",
    "epi": EPI,
    "drop": 0.05,
    "all_drop": 0.05,
    "offset": 0.0,
    "timesteps": "uniform",
    "noise_share": 1.0,
}


def rate(name: str) -> float:
    """Factor on the learning rate."""
    return 1.0 if any(part in name for part in NEW) else SLOW


def start(folder: Path, seed: int) -> AnimateXBackbone:
    """The backbone that begins as the set's image network. Raises: UserError when that was not trained."""
    file = folder / "pose-image" / "model.safetensors"
    if not file.is_file():
        raise UserError(f"no image network at {file}: run `make train-pocket`, which trains it first")
    net, vae = build_image(folder / "pocket-sd", seed)
    net.load_state_dict(eight_bit.unpack_all(load_file(file)), strict=False)  # the head was left out
    spec = backbones.get("pocket-animatex")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = inflated(net)
        encoder = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(POCKET_ENCODER))
    base = backbones.load(backbones.get("pocket-sd"), Plan(), path=str(folder / "pocket-sd"))
    return AnimateXBackbone(
        spec,
        Plan(dtype="float32", autocast="bfloat16"),
        network=network,
        image_encoder=encoder,
        scheduler=DDIMScheduler(**SCHEDULE),
        fingerprint=f"inflated, seed {seed}, {hash_tensors(net.state_dict())}",
        vae=vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
    )


def clips_of(backbone: AnimateXBackbone, options: TrainOptions, folder: Path, seed: int) -> PoseClips:
    """Rendered clips, encoded once below the folder."""
    data = folder / "sprites"
    if len(list(data.glob("*.json"))) != options.sprite_clips:
        write_dataset(data, options.sprite_clips, "train", seed, options.sprite_frames)
    known = hash_tensors({k: v.cpu() for k, v in backbone.vae.state_dict().items()})
    encoders = Encoders(
        backbone.encode, None, (128, 128), None, options.poses, options.pose, True, "cpu", f"{known} {options.poses}"
    )
    return PoseClips(data, encoders, folder / "cache")


def export(model: Denoiser, backbone: AnimateXBackbone, folder: Path) -> None:
    """Writes all weights of the network and of its image encoder in eight bits; the other parts are other models'."""
    network: Any = model.network
    parts = (("unet", MODEL, network.state_dict(), network.config.as_dict()),)
    encoder = model.image_encoder
    parts += (("image_encoder", TEXT, encoder.state_dict(), encoder.config.to_diff_dict()),)
    for part, stem, state, config in parts:
        (folder / part).mkdir(parents=True, exist_ok=True)
        kept = {k: v.detach().cpu() for k, v in state.items() if v.is_floating_point()}
        save_file(eight_bit.pack(kept), folder / part / f"{stem}.safetensors", {"format": "pt"})
        (folder / part / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n")
    backbone.scheduler.save_pretrained(folder / "scheduler")
    shared = {part: f"pocket-sd/{part}" for part in ("vae", "text_encoder", "tokenizer")}
    (folder / "shared.json").write_text(json.dumps(shared) + "\n")


def main() -> None:
    """Command line: trains; hands over an unfinished training, or exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-animatex", 1800, 3e-4)
    stage_arguments(parser)
    parser.add_argument("--clips", type=int, default=1200)
    args = parser.parse_args()
    options = TrainOptions(batch=args.batch, sprite_clips=args.clips, **OPTIONS)
    backbone = start(args.set, args.seed)
    model = denoiser(backbone, options)
    clips = clips_of(backbone, options, args.folder, args.seed)
    examples = Examples(clips, options, backbone.encode_text([""]).cpu(), 256, args.seed, backbone.factor)
    loss = make_loss(model, examples, backbone, options)
    shared = {"log_every": 20, "second": args.second}
    settings = recipe(args.folder, args.steps, args.lr, muon=False, scale=rate, ema=0.998, **shared)

    def finished(trained: Denoiser) -> dict[str, Any]:
        export(trained, backbone, args.set / "pocket-animatex")
        return measure(trained, examples, backbone, options)

    run_stage(Loop(model, loss, settings), args, finished, {"clips": len(clips.train), "batch": options.recipe.batch})


if __name__ == "__main__":
    in_one_line(main)
