"""Trains the motion modules of `pocket-animatediff` on sprite clips; every weight of `pocket-sd`'s UNet stays as it is.

As AnimateDiff does it (Guo et al. 2023, arXiv 2307.04725): a frozen image UNet, and between its layers attention over
time that starts as the identity. Single pictures taught the text encoder next to nothing about verbs, so the embeddings
of those words learn too, as in textual inversion. v-prediction on colour clips of 8, then 16 frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from motionkit.errors import UserError, in_one_line
from motionkit.sprites.world import DOING
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.along_time import TIME, diagonal, time_loss, watch
from motionkit.training.recipes.pocket_sd import read_text, read_unet
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.training.recipes.verb_critic import CRITIC, VERB, VerbCritic, load_critic, moves_as_told
from motionkit.training.recipes.video_batches import VIDEO_SCHEDULE, Lengths, VideoBatches
from motionkit.training.recipes.watched_attention import WatchedAttention

ADAPTER = dict(
    block_out_channels=(48, 96, 192),
    motion_layers_per_block=1,
    motion_num_attention_heads=4,
    motion_norm_num_groups=16,
    motion_max_seq_length=32,
    use_motion_mid_block=False,
)
TABLE = "embeddings.token_embedding"
SHORT, LONG = 8, 16  # frames
SHORT_SHARE = 0.75  # of the steps


def build(image: UNet2DConditionModel) -> tuple[UNetMotionModel, MotionAdapter]:
    """The video UNet that starts as the frozen image UNet on every frame, and the container of what is trained.

    Both hold the same motion modules: what a step changes in one is changed in the other.
    """
    adapter = MotionAdapter(**ADAPTER)
    unet = UNetMotionModel.from_unet2d(image, adapter).requires_grad_(False)
    for own, used in zip(adapter.down_blocks, unet.down_blocks, strict=True):
        own.motion_modules = used.motion_modules
    for own, used in zip(adapter.up_blocks, unet.up_blocks, strict=True):
        own.motion_modules = used.motion_modules
    for module in adapter.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    unet.set_attn_processor(AttnProcessor())  # on a CPU the fused kernel's backward is slow for short sequences
    return unet.eval(), adapter.requires_grad_(True)


class Words(nn.Module):
    """Changes of the embeddings of a few words, added to what the text encoder looks up (arXiv 2208.01618)."""

    def __init__(self, text: CLIPTextModel, ids: list[int]) -> None:
        super().__init__()
        table = text.get_input_embeddings()
        self.change = nn.Parameter(torch.zeros(len(ids), table.embedding_dim))
        place = torch.full((table.num_embeddings,), len(ids))
        place[ids] = torch.arange(len(ids))
        self.register_buffer("ids", torch.tensor(ids), persistent=False)
        self.register_buffer("place", place, persistent=False)
        table.register_forward_hook(self._add)

    def _add(self, table: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        changes = torch.cat([self.change, torch.zeros_like(self.change[:1])])
        return out + F.embedding(self.place[args[0]], changes)

    @torch.no_grad()
    def merge(self, text: CLIPTextModel) -> CLIPTextModel:
        """Add the changes to the table of a text encoder."""
        table = text.get_input_embeddings().weight
        table[self.ids.to(table.device)] += self.change.to(table)
        return text


def verbs(tokenizer: CLIPTokenizer) -> list[int]:
    """The tokens of the words that name motions."""
    found = {i for word in DOING.values() for i in tokenizer(word, add_special_tokens=False).input_ids}
    return sorted(found)


def make_loss(
    unet: UNetMotionModel,
    text: CLIPTextModel,
    batches: VideoBatches,
    frames_at: Callable[[int], int],
    critic: VerbCritic,
    watched: WatchedAttention | None = None,
) -> LossFn:
    """MSE of v for the batch of a step, and whether the predicted clip moves as its caption says.

    `watched` attention along time is told in which frames a place shows the same.
    """

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        frames = frames_at(step)
        batch = batches.at(step, frames)
        states = text(batch.ids).last_hidden_state
        with torch.autocast(batches.device, torch.bfloat16):
            v = unet(batch.noisy, batch.t, states.repeat_interleave(frames, 0)).sample
        error, logs = batch.loss(v)
        wrong, right = moves_as_told(critic, batch, v, torch.Generator().manual_seed(step))
        logs |= {"verb": wrong.item(), "right": right, "frames": float(frames)}
        if watched is None or batch.same is None:
            return error + VERB * wrong, logs
        maps = watched.take()
        told = time_loss(maps, batch.same)
        return error + VERB * wrong + TIME * told, logs | {"time": told.item(), "diagonal": diagonal(maps)}

    return loss


def export(adapter: MotionAdapter, text: CLIPTextModel, folder: Path) -> None:
    """Write fp16 `motion_adapter/` in diffusers' layout, the words of `text_encoder/`, and the rest's origin."""
    half = MotionAdapter(**ADAPTER)
    half.load_state_dict(adapter.state_dict())
    half.half().save_pretrained(folder / "motion_adapter", safe_serialization=True)
    words = {f"{TABLE}.weight": text.get_submodule(TABLE).weight.detach().half()}
    (folder / "text_encoder").mkdir(exist_ok=True)
    save_file(words, folder / "text_encoder" / "model.safetensors", {"format": "pt"})
    DDIMScheduler(**VIDEO_SCHEDULE).save_pretrained(folder / "scheduler")
    shared = {part: f"pocket-sd/{part}" for part in ("unet", "vae", "text_encoder", "tokenizer")}
    (folder / "shared.json").write_text(json.dumps(shared) + "\n")


def optimiser(folder: Path, steps: int, lr: float, muon: bool, second: Path | None) -> LoopSettings:
    """AdamW for all, on a cosine; or Muon for the modules' matrices, at a rate that falls in the last fifth."""
    settings = LoopSettings(folder, steps, lr, ema=0.995, fused=True, second=second, log_every=20)
    return replace(settings, clip=float("inf"), muon=is_module, decay=0.2) if muon else settings


def is_module(name: str) -> bool:
    """Whether Muon trains that weight, if it has two or more dimensions: the motion modules', not the words'."""
    return name.startswith("adapter.")


def main() -> None:
    """Command line: trains and exports."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-animatediff", 2200, 1e-3)
    stage_arguments(parser)
    parser.add_argument("--critic", type=Path, default=CRITIC)
    parser.add_argument("--told", action="store_true", help="attention along time is told where a clip shows the same")
    parser.add_argument("--muon", action="store_true", help="Muon trains the motion modules, at a constant rate")
    args = parser.parse_args()
    base, out = args.set / "pocket-sd", args.out or args.set / "pocket-animatediff"
    if not (base / "unet").is_dir():
        raise UserError(f"no image UNet at {base / 'unet'}: run `make train-pocket`, which trains it first")
    torch.manual_seed(args.seed)
    unet, adapter = build(read_unet(base / "unet"))
    unet.to(args.device)
    vae = AutoencoderKL.from_pretrained(base / "vae").float().eval().requires_grad_(False).to(args.device)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    text = read_text(base / "text_encoder").eval().requires_grad_(False).to(args.device)
    model = nn.ModuleDict({"adapter": adapter, "words": Words(text, verbs(tokenizer)).to(args.device)})
    lengths, batch = Lengths(SHORT, LONG, round(SHORT_SHARE * args.steps)), args.batch or 4
    batches = VideoBatches(
        "pocket-animatediff", vae, tokenizer, batch, args.seed, args.device, 0.0, lengths, args.workers, args.told
    )
    watched = watch(adapter) if args.told else None
    loss = make_loss(unet, text, batches, lengths.at, load_critic(args.critic).to(args.device), watched)
    settings = optimiser(args.folder, args.steps, args.lr, args.muon, args.second)

    def finished(made: nn.ModuleDict) -> None:
        base_text = read_text(base / "text_encoder")
        export(made["adapter"], made["words"].merge(base_text), out)

    run_stage(Loop(model, loss, settings), args, finished)


if __name__ == "__main__":
    in_one_line(main)
