"""Trains the text encoder and UNet of `pocket-sd` on captioned sprites, on the latents of the trained autoencoder.

v-prediction; a tenth of the captions are dropped for guidance. Muon trains the UNet's inner weights, AdamW the rest. A
head that predicts parts can be trained with it, but gained nothing in a comparison (`arms_text_to_image`). Needs an
autoencoder whose latents have unit variance (see `fold_latents`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from motionkit.backbones.folders import MODEL, TEXT
from motionkit.backbones.tiny_tokenizer import build_tokenizer
from motionkit.errors import UserError, in_one_line
from motionkit.training.ahead import Ahead
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments
from motionkit.training.recipes.auxiliary import WEIGHT, AuxiliaryHead, Listener, part_loss
from motionkit.training.recipes.captioned import LENGTH, WORDS, encoded, pictures, words
from motionkit.training.recipes.stage import run_stage, stage_arguments
from motionkit.weights import eight_bit
from motionkit.weights.reading import load_model, read_config

UNET = dict(
    sample_size=32,
    in_channels=4,
    out_channels=4,
    block_out_channels=(48, 96, 192),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=128,
    attention_head_dim=(3, 6, 12),  # heads of 16 channels, as the video UNets group them: they take these layers over
    norm_num_groups=16,
)
SCHEDULE = dict(
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.02,  # Stable Diffusion's .012 leaves much of latents of unit variance
    beta_schedule="scaled_linear",
    clip_sample=False,
    set_alpha_to_one=False,
    steps_offset=1,
    prediction_type="v_prediction",
)
NOISES = 2  # noise draws for each encoded picture: encoding costs, noise does not


class TextToImage(nn.Module):
    """The two trained networks as one module, and in training a head that predicts parts (see `auxiliary`)."""

    def __init__(self, vocabulary: int, head: bool = False, sizes: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**(sizes or UNET))
        self.unet.set_attn_processor(
            AttnProcessor()
        )  # on a CPU the fused kernel's backward is slow for short sequences
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=128,
                intermediate_size=512,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=LENGTH,
                projection_dim=128,
                bos_token_id=vocabulary - 2,
                eos_token_id=vocabulary - 1,
                pad_token_id=vocabulary - 1,
            )
        )
        self.head = AuxiliaryHead(UNET["block_out_channels"][1]) if head else None
        self.listener = Listener(self.unet.up_blocks[1]) if head else None

    def forward(self, latents: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """v (B, 4, h, w) of latents (B, 4, h, w) at steps t (B,) for words ids (B or B / NOISES, LENGTH)."""
        states = self.text(ids).last_hidden_state
        if len(states) != len(latents):
            states = states.repeat(len(latents) // len(states), 1, 1)
        return self.unet(latents, t, states).sample

    def part_error(self, parts: Tensor, weight: Tensor) -> Tensor:
        """Loss of the head's parts (B, h, w) in the pass before, weighted by picture (B,)."""
        assert self.head is not None and self.listener is not None
        return part_loss(self.head(self.listener.take())[0], parts, weight)


def make_loss(
    model: TextToImage,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    batch: int,
    seed: int,
    device: str,
    workers: int = 0,
    noises: int = NOISES,
) -> LossFn:
    """MSE of v, subject cells weighted, and of the head where there is one; pictures are used with several noises."""
    scheduler = DDIMScheduler(**SCHEDULE)
    source = Ahead(partial(pictures, seed, batch // noises), workers)

    def again(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(device).repeat(noises, *[1] * (x.ndim - 1))

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        data = source(step)
        ids = words(tokenizer, data.said).to(device)
        z, m = encoded(vae, data.pixels, device).repeat(noises, 1, 1, 1), again(data.near).float()
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = torch.randn(z.shape, generator=generator).to(device)
        t = even_times(len(z), generator).to(device)
        noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
        with torch.autocast(device, torch.bfloat16):
            v = model(noisy, t, ids)
        error = (v.float() - target) ** 2
        total, logs = (error * (1 + 2 * m)).mean(), {"mse": error.mean().item()}
        if model.head is not None:
            with torch.autocast(device, torch.bfloat16):
                wrong = model.part_error(again(data.parts).long(), scheduler.alphas_cumprod.to(device)[t])
            total, logs = total + WEIGHT * wrong, logs | {"parts": wrong.item()}
        return total, logs

    return loss


def even_times(count: int, generator: torch.Generator) -> Tensor:
    """Timesteps (B,), one from each equal slice of the schedule: less variance than independent draws."""
    t = (torch.arange(count) + torch.rand(count, generator=generator)) / count * 1000
    return t[torch.randperm(count, generator=generator)].long()


def export(model: TextToImage, folder: Path) -> None:
    """Writes unet (in eight bits, which costs no quality), text_encoder (fp16) and scheduler in hub layout."""
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    model.unet.save_config(folder / "unet")
    state = {k: v.detach().cpu() for k, v in model.unet.state_dict().items()}
    save_file(eight_bit.pack(state), folder / "unet" / f"{MODEL}.safetensors", {"format": "pt"})
    text = CLIPTextModel(model.text.config)
    text.load_state_dict(model.text.state_dict())
    text.half().save_pretrained(folder / "text_encoder")
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")


def read_unet(folder: Path) -> UNet2DConditionModel:
    """The image UNet of a folder in float32, eight bits or not. Raises: UserError for damaged files."""
    config = read_config(folder / "config.json", "UNet2DConditionModel")
    unet = load_model(lambda: UNet2DConditionModel.from_config(config), [folder], MODEL, torch.float32)
    assert isinstance(unet, UNet2DConditionModel)
    return unet


def read_text(folder: Path) -> CLIPTextModel:
    """The text encoder of a folder in float32, eight bits or not. Raises: UserError for damaged files."""
    config = CLIPTextConfig.from_pretrained(folder)
    text = load_model(lambda: CLIPTextModel(config), [folder], TEXT, torch.float32)
    assert isinstance(text, CLIPTextModel)
    return text.requires_grad_(True)


def is_matrix(name: str) -> bool:
    """Whether Muon trains that weight, if it has two or more dimensions: those inside a UNet, not at its ends."""
    inner = name.removeprefix("network.")
    return inner.startswith("unet.") and not any(end in inner for end in ("conv_in", "conv_out", "time_embedding"))


def recipe(folder: Path, steps: int, lr: float, muon: bool = True, **others: Any) -> LoopSettings:
    """Settings of the loop: Muon and AdamW at a constant rate that falls in the last fifth, or AdamW alone."""
    if not muon:
        return LoopSettings(folder, steps, lr, fused=True, **others)
    return LoopSettings(folder, steps, lr, fused=True, clip=float("inf"), muon=is_matrix, **{"decay": 0.2} | others)


def build(
    folder: Path, seed: int, head: bool, device: str, sizes: dict[str, Any] | None = None
) -> tuple[TextToImage, AutoencoderKL, CLIPTokenizer]:
    """The networks to train (a UNet of other sizes if given), and the autoencoder and tokenizer of a set's folder.

    Raises:
        UserError: there is no autoencoder.
    """
    if not (folder / "vae").is_dir():
        raise UserError(f"no autoencoder at {folder / 'vae'}: run `make train-pocket`, which trains it first")
    torch.manual_seed(seed)
    size = build_tokenizer(dict.fromkeys(WORDS), folder / "tokenizer", LENGTH)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    vae = AutoencoderKL.from_pretrained(folder / "vae").float().eval().requires_grad_(False).to(device)
    return TextToImage(size, head, sizes).to(device, memory_format=torch.channels_last), vae, tokenizer


def main() -> None:
    """Command line: trains; hands over an unfinished training, or exports a finished one."""
    parser = arguments(__doc__.splitlines()[0], "runs/pocket/pocket-sd", 13_200, 1e-3)
    stage_arguments(parser)
    args = parser.parse_args()
    out = args.out or args.set / "pocket-sd"
    batch = args.batch or 32
    model, vae, tokenizer = build(out, args.seed, False, args.device)
    loss = make_loss(model, vae, tokenizer, batch, args.seed, args.device, args.workers, args.noises)
    loop = Loop(model, loss, recipe(args.folder, args.steps, args.lr, second=args.second, log_every=20))
    run_stage(loop, args, lambda trained: export(trained, out), {"batch": batch, "samples": batch * args.steps})


if __name__ == "__main__":
    in_one_line(main)
