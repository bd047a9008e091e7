"""Trains the video UNet of `pocket-modelscope`: `pocket-sd`'s layers, with ModelScope's temporal layers between them.

The coarse convolutions of the image UNet stay as they are; the temporal layers, the spatial attention, the layers that
read the timestep, the finest level, where colour and line differ, and the text encoder, to which verbs said next to
nothing while it saw single pictures, are trained. Three clips in ten are line drawings. v-prediction; part of the noise
is shared by the frames of most clips, which keeps the identity steady.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from motionkit.backbones.flatconv import flatten_convolutions
from motionkit.backbones.modelscope import from_image_unet
from motionkit.errors import UserError, in_one_line
from motionkit.training.loop import Loop, LossFn, arguments
from motionkit.training.recipes import pocket_sd
from motionkit.training.recipes.pocket_sd import read_text, read_unet, recipe
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.training.recipes.verb_critic import CRITIC, VERB, VerbCritic, load_critic, moves_as_told
from motionkit.training.recipes.video_batches import VIDEO_SCHEDULE, Lengths, VideoBatches
from motionkit.weights.eight_bit import pack

UNET = pocket_sd.UNET | dict(  # pocket-sd's sizes: its layers are taken over
    down_block_types=("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
    up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"),
    attention_head_dim=16,
)
TEMPORAL = ("temp_convs", "temp_attentions", "transformer_in")
EDGES = ("conv_in.", "conv_out.", "conv_norm_out.", "down_blocks.0.", "up_blocks.2.", "time_embedding.")
LINES = 0.3  # share of line drawings


def is_trained(name: str) -> bool:
    """Whether a weight of the UNet is trained; the rest of the image UNet stays frozen."""
    return any(t in name for t in (*TEMPORAL, ".attn1.", ".attn2.", ".time_emb_proj.")) or name.startswith(EDGES)


def make_loss(
    model: nn.ModuleDict, batches: VideoBatches, frames_at: Callable[[int], int], critic: VerbCritic
) -> LossFn:
    """MSE of v for the batch of a step, and whether the predicted clip moves as its caption says; both models learn."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = batches.at(step, frames_at(step))
        states = model["text"](batch.ids).last_hidden_state
        with torch.autocast(batches.device, torch.bfloat16):
            v = model["unet"](batch.noisy, batch.t, states).sample
        error, logs = batch.loss(v)
        wrong, right = moves_as_told(critic, batch, v, torch.Generator().manual_seed(step))
        return error + VERB * wrong, logs | {"verb": wrong.item(), "right": right}

    return loss


def export(unet: UNet3DConditionModel, text: CLIPTextModel, folder: Path) -> None:
    """Writes `unet/` in eight bits (only the tensors that `pocket-sd` does not hold) and `text_encoder/` in fp16."""
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    unet.save_config(folder / "unet")
    kept = {k: v.detach().cpu() for k, v in unet.state_dict().items() if is_trained(k)}
    save_file(pack(kept), folder / "unet" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    copy.deepcopy(text).half().save_pretrained(folder / "text_encoder", safe_serialization=True)
    DDIMScheduler(**VIDEO_SCHEDULE).save_pretrained(folder / "scheduler")
    parts = ("unet", "vae", "tokenizer")
    (folder / "shared.json").write_text(json.dumps({part: f"pocket-sd/{part}" for part in parts}) + "\n")


def build(base: Path, start: Path | None = None) -> nn.ModuleDict:
    """The two models that learn, `unet` and `text`, as `pocket-sd` (or an exported folder `start`) has them."""
    unet = from_image_unet(read_unet(base / "unet"), **UNET)
    if start:
        given = load_file(start / "unet" / "diffusion_pytorch_model.safetensors")
        unet.load_state_dict(given, strict=False)
    has_text = bool(start and (start / "text_encoder").is_dir())
    text = read_text((start if has_text else base) / "text_encoder")
    unet.set_attn_processor(AttnProcessor())  # on a CPU the fused kernel's backward is slow for short sequences
    flatten_convolutions(unet)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_trained(name))
    for module in unet.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return nn.ModuleDict({"unet": unet, "text": text})


def rate(name: str) -> float:
    """Factor on the learning rate: temporal layers are new, everything else was trained before."""
    if name.startswith("text."):
        return 0.5
    return 1.0 if any(t in name for t in TEMPORAL) else 0.3


def main() -> None:
    """Command line: trains and exports."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-modelscope", 3000, 1e-3)
    stage_arguments(parser)
    parser.add_argument("--critic", type=Path, default=CRITIC)
    parser.add_argument("--start", type=Path, default=None, help="an exported folder to begin with")
    args = parser.parse_args()
    base, out = args.set / "pocket-sd", args.out or args.set / "pocket-modelscope"
    if not (base / "unet").is_dir():
        raise UserError(f"no image UNet at {base / 'unet'}: run `make train-pocket`, which trains it first")
    torch.manual_seed(args.seed)
    model = build(base, args.start).to(args.device)
    vae = AutoencoderKL.from_pretrained(base / "vae").float().eval().requires_grad_(False).to(args.device)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    batch = args.batch or 4
    lengths = Lengths(8, 10, round(0.8 * args.steps))
    batches = VideoBatches(
        "pocket-modelscope", vae, tokenizer, batch, args.seed, args.device, LINES, lengths, args.workers
    )
    loss = make_loss(model, batches, lengths.at, load_critic(args.critic).to(args.device))
    settings = recipe(args.folder, args.steps, args.lr, log_every=20, ema=0.998, scale=rate, second=args.second)
    facts = {"batch": batch, "lines": LINES}
    run_stage(Loop(model, loss, settings), args, lambda made: export(made["unet"], made["text"], out), facts)


if __name__ == "__main__":
    in_one_line(main)
