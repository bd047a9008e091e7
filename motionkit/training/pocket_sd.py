"""Trains the text encoder and UNet of `pocket-sd` on captioned sprites, on the latents of the trained autoencoder.

v-prediction with Stable Diffusion's noise schedule; a tenth of the captions are dropped for guidance. Needs
`assets/pocket-sd/vae` (see `pocket_vae`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from motionkit.backbones.tiny_tokenizer import build_tokenizer
from motionkit.errors import UserError
from motionkit.sprites import BIPEDS, COLOURS, QUADRUPEDS
from motionkit.sprites.kinds import BACKGROUNDS, rng_of
from motionkit.sprites.world import DOING, SpriteClip
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.training.sprite_batches import clips, masks, pixels
from motionkit.weights import places

UNET = dict(
    sample_size=32,
    in_channels=4,
    out_channels=4,
    block_out_channels=(48, 96, 192),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=128,
    attention_head_dim=6,
    norm_num_groups=16,
)
SCHEDULE = dict(
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule="scaled_linear",
    clip_sample=False,
    set_alpha_to_one=False,
    steps_offset=1,
    prediction_type="v_prediction",
)
WORDS = (
    *COLOURS,
    *QUADRUPEDS,
    *BIPEDS,
    *BACKGROUNDS,
    *DOING.values(),
    "flag",
    "letter",
    "a",
    "an",
    "the",
    "on",
    "and",
    "with",
    "in",
    "is",
    "of",
    "plain",
    "background",
    "picture",
    "drawing",
    "animal",
    "character",
    "standing",
    "colored",
)
LENGTH = 16
ASSETS = places.PACKAGE
NOISES = 2  # noise draws for each encoded picture: encoding costs, noise does not


def caption(clip: SpriteClip, rng: np.random.Generator) -> str:
    """One of several ways to say what a picture shows; a tenth are empty (for guidance)."""
    c, doing = clip.character, DOING[clip.motion.name]
    forms = (
        "",
        f"a {c.colour} {c.kind}",
        f"a {c.colour} {c.kind} on {c.background}",
        f"{c.colour} {c.kind}",
        f"a {c.colour} {c.kind} {doing}",
        f"a {c.colour} {c.kind} {doing}",
        f"a {c.colour} {c.kind} is {doing}",
        f"a {c.colour} {c.kind} {doing} on {c.background}",
        f"a {doing} {c.colour} {c.kind}",
        f"the {c.colour} {c.kind}",
    )
    return str(forms[rng.integers(len(forms))])


class TextToImage(nn.Module):
    """The two trained networks as one module."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**UNET)
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

    def forward(self, latents: torch.Tensor, t: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """v (B, 4, h, w) of latents (B, 4, h, w) at steps t (B,) for words ids (B or B / NOISES, LENGTH)."""
        states = self.text(ids).last_hidden_state
        if len(states) != len(latents):
            states = states.repeat(len(latents) // len(states), 1, 1)
        return self.unet(latents, t, states).sample


def make_loss(
    model: TextToImage, vae: AutoencoderKL, tokenizer: CLIPTokenizer, batch: int, seed: int, device: str
) -> LossFn:
    """MSE of v, subject cells weighted; the pictures of a step are used with several noises."""
    scheduler = DDIMScheduler(**SCHEDULE)
    patch = int((vae.config.in_channels // 3) ** 0.5)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        data = clips("pocket-sd", seed, step, batch // NOISES)
        rng = rng_of("pocket-sd captions", seed, step)
        ids = tokenizer(
            [caption(c, rng) for c in data],
            padding="max_length",
            max_length=LENGTH,
            truncation=True,
            return_tensors="pt",
        ).input_ids.to(device)
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            x = F.pixel_unshuffle(pixels(data).to(device), patch)
            z = vae.encode(x).latent_dist.mean.float() * vae.config.scaling_factor
        m = F.max_pool2d(masks(data).to(device), 8, 4, 2)[:, :, : z.shape[2], : z.shape[3]]
        z, m = z.repeat(NOISES, 1, 1, 1), m.repeat(NOISES, 1, 1, 1)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = torch.randn(z.shape, generator=generator).to(device)
        # One timestep from each equal slice of the schedule: less variance than independent draws.
        t = (torch.arange(len(z)) + torch.rand(len(z), generator=generator)) / len(z) * 1000
        t = t[torch.randperm(len(z), generator=generator)].long().to(device)
        noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
        with torch.autocast(device, torch.bfloat16):
            v = model(noisy, t, ids)
        error = (v.float() - target) ** 2
        return (error * (1 + 2 * m)).mean(), {"mse": error.mean().item()}

    return loss


def export(model: TextToImage, folder: Path) -> None:
    """Writes unet, text_encoder and scheduler in hub layout, fp16 safetensors."""
    unet = UNet2DConditionModel(**UNET)
    unet.load_state_dict(model.unet.state_dict())
    unet.half().save_pretrained(folder / "unet")
    text = CLIPTextModel(model.text.config)
    text.load_state_dict(model.text.state_dict())
    text.half().save_pretrained(folder / "text_encoder")
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")


def main() -> None:
    """Command line: trains and exports."""
    parser = arguments(__doc__.splitlines()[0], "runs/train/pocket-sd", 2150, 1e-3)
    parser.add_argument("--export-only", action="store_true", help="write the averaged weights of the last checkpoint")
    args = parser.parse_args()
    out = args.out or ASSETS / "pocket-sd"
    if not (out / "vae").is_dir():
        raise UserError(f"no autoencoder at {out / 'vae'}: run `python -m motionkit.training.pocket_vae` first")
    torch.manual_seed(args.seed)
    size = build_tokenizer(dict.fromkeys(WORDS), out / "tokenizer", LENGTH)
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    vae = AutoencoderKL.from_pretrained(out / "vae").float().eval().requires_grad_(False).to(args.device)
    model = TextToImage(size).to(args.device, memory_format=torch.channels_last)
    loss = make_loss(model, vae, tokenizer, args.batch or 20, args.seed, args.device)
    loop = Loop(model, loss, LoopSettings(args.folder, args.steps, args.lr, log_every=20))
    if args.export_only:
        if not loop.resume():
            raise UserError(f"no checkpoint in {args.folder}")
        export(loop.ema, out)
        return
    export(loop.run(), out)
    write_record(args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds})


if __name__ == "__main__":
    main()
