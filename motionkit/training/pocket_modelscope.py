"""Trains the video UNet of `pocket-modelscope`: `pocket-sd`'s layers, with ModelScope's temporal layers between them.

The coarse convolutions of the image UNet stay as they are; the temporal layers, the spatial attention (the 3D class
groups heads in another way) and the finest level, where colour and line differ, are trained. Three clips in ten are
line drawings. v-prediction; part of the noise is shared by the frames of most clips, which keeps the identity steady
(arXiv 2305.10474).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from motionkit.backbones.modelscope import from_image_unet
from motionkit.errors import UserError
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.world import DOING, SpriteClip
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.training.pocket_sd import LENGTH, SCHEDULE
from motionkit.training.sprite_batches import clips

UNET = dict(
    sample_size=32, in_channels=4, out_channels=4, block_out_channels=(48, 96, 192), layers_per_block=1,
    down_block_types=("DownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
    up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "UpBlock3D"),
    cross_attention_dim=128, attention_head_dim=16, norm_num_groups=16,
)  # fmt: skip
TEMPORAL = ("temp_convs", "temp_attentions", "transformer_in")
EDGES = ("conv_in.", "conv_out.", "conv_norm_out.", "down_blocks.0.", "up_blocks.2.")
NOISES = 2  # noise draws for each encoded clip
SHARE = 0.7  # of the noise's variance, in the clips that share any
LINES = 0.3  # share of line drawings
ASSETS = Path(__file__).parents[1] / "assets"


def is_trained(name: str) -> bool:
    """Temporal layers, spatial attention and the finest level learn; the rest of the image UNet stays as it is."""
    return any(t in name for t in TEMPORAL) or ".attn1." in name or ".attn2." in name or name.startswith(EDGES)


def is_drawing(step: int, index: int, seed: int) -> bool:
    """Whether a clip of a step is shown as a line drawing."""
    return bool(rng_of("drawing", seed, step, index).uniform() < LINES)


def pictures(clip: SpriteClip, drawing: bool, rng: np.random.Generator) -> Tensor:
    """Frames (F, 3, H, W) in [-1, 1], in colour or as lines 1 or 1.5 pixels thick."""
    frames = clip.lines(int(rng.integers(2, 4))) if drawing else clip.frames
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1  # (F, 3, H, W)


def caption(clip: SpriteClip, drawing: bool, rng: np.random.Generator) -> str:
    """One of several ways to say what a clip shows and what happens in it; a tenth are empty (for guidance)."""
    c, doing = clip.character, DOING[clip.motion.name]
    if rng.uniform() < 0.1:
        return ""
    subject = c.kind if drawing else f"{c.colour} {c.kind}"
    article = str(rng.choice(["a", "an"])) if subject[0] in "aeiou" else "a"
    forms = [f"{article} {subject} {doing}", f"{article} {subject} is {doing}", f"the {subject} is {doing}",
             f"a {doing} {subject}", f"{subject} {doing}"]  # fmt: skip
    said = forms[rng.integers(len(forms))]
    if drawing:
        return f"a drawing of {said}" if rng.uniform() < 0.8 else said
    return f"{said} on {c.background}" if rng.uniform() < 0.3 else said


def draw_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Noise (B, 4, F, h, w); in two clips of three SHARE of its variance is common to the frames."""
    own = torch.randn(shape, generator=generator)
    common = torch.randn(shape[0], shape[1], 1, *shape[3:], generator=generator)
    share = SHARE * (torch.rand(shape[0], 1, 1, 1, 1, generator=generator) < 2 / 3)
    return share.sqrt() * common + (1 - share).sqrt() * own


def make_loss(
    unet: UNet3DConditionModel, vae: AutoencoderKL, text: CLIPTextModel, tokenizer: CLIPTokenizer,
    batch: int, frames_at: Callable[[int], int], seed: int, device: str,
) -> LossFn:  # fmt: skip
    """MSE of v, subject cells weighted, late timesteps (where motion is decided) drawn more often."""
    scheduler = DDIMScheduler(**SCHEDULE)
    patch = int((vae.config.in_channels // 3) ** 0.5)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        frames = frames_at(step)
        data = clips("pocket-modelscope", seed, step, batch // NOISES, frames)
        rng = rng_of("pocket-modelscope captions", seed, step)
        drawn = [is_drawing(step, i, seed) for i in range(len(data))]
        x = torch.cat([pictures(c, d, rng) for c, d in zip(data, drawn, strict=True)]).to(device)
        said = [caption(c, d, rng) for c, d in zip(data, drawn, strict=True)]
        ids = tokenizer(said, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            with torch.autocast(device, torch.bfloat16):
                z = vae.encode(F.pixel_unshuffle(x, patch)).latent_dist.mean.float() * vae.config.scaling_factor
            states = text(ids.to(device)).last_hidden_state.repeat(NOISES, 1, 1)
        z = z.unflatten(0, (len(data), frames)).transpose(1, 2)  # (b, 4, F, h, w)
        m = torch.from_numpy(np.stack([c.mask for c in data])).float()  # (b, F, H, W)
        m = F.max_pool2d(m, 8, 4, 2)[:, None, :, : z.shape[3], : z.shape[4]].to(device)
        z, m = z.repeat(NOISES, 1, 1, 1, 1), m.repeat(NOISES, 1, 1, 1, 1)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = draw_noise(z.shape, generator).to(device)
        even = (torch.randperm(len(z), generator=generator) + torch.rand(len(z), generator=generator)) / len(z)
        t = (even.sqrt() * 1000).long().to(device)  # density grows with t
        noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
        with torch.autocast(device, torch.bfloat16):
            v = unet(noisy, t, states).sample
        error = (v.float() - target) ** 2
        return (error * (1 + 2 * m)).mean(), {"mse": error.mean().item()}

    return loss


def export(unet: UNet3DConditionModel, folder: Path) -> None:
    """Writes `unet/` in fp16: the configuration and only those tensors that `pocket-sd` does not hold."""
    (folder / "unet").mkdir(parents=True, exist_ok=True)
    unet.save_config(folder / "unet")
    kept = {k: v.detach().half().contiguous().cpu() for k, v in unet.state_dict().items() if is_trained(k)}
    save_file(kept, folder / "unet" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    parts = ("unet", "vae", "text_encoder", "tokenizer")
    (folder / "shared.json").write_text(json.dumps({part: f"pocket-sd/{part}" for part in parts}) + "\n")


def main() -> None:
    """Command line: trains and exports."""
    parser = arguments(__doc__.splitlines()[0], "runs/train/pocket-modelscope", 1450, 1e-3)
    parser.add_argument("--export-only", action="store_true", help="write the averaged weights of the last checkpoint")
    parser.add_argument("--start", type=Path, default=None, help="weights (an exported unet folder) to begin with")
    args = parser.parse_args()
    base, out = ASSETS / "pocket-sd", args.out or ASSETS / "pocket-modelscope"
    if not (base / "unet").is_dir():
        raise UserError(f"no image UNet at {base / 'unet'}: run `make train-pocket-sd` first")
    torch.manual_seed(args.seed)
    image = UNet2DConditionModel.from_pretrained(base / "unet").float()
    unet = from_image_unet(image, **UNET)
    if args.start:
        given = load_file(args.start / "diffusion_pytorch_model.safetensors")
        unet.load_state_dict(given, strict=False)
    unet.set_attn_processor(AttnProcessor())  # on a CPU the fused kernel's backward is slow for short sequences
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_trained(name))
    unet.to(args.device)
    vae = AutoencoderKL.from_pretrained(base / "vae").float().eval().requires_grad_(False).to(args.device)
    text = CLIPTextModel.from_pretrained(base / "text_encoder").float().eval().requires_grad_(False).to(args.device)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    loss = make_loss(unet, vae, text, tokenizer, args.batch or 4, lambda step: 8 if step < 0.8 * args.steps else 10,
                     args.seed, args.device)  # fmt: skip
    loop = Loop(unet, loss, LoopSettings(args.folder, args.steps, args.lr, log_every=20, ema=0.995, scale=lambda name:
                1.0 if any(t in name for t in TEMPORAL) else 0.3))  # fmt: skip
    for module in unet.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if args.export_only:
        if not loop.resume():
            raise UserError(f"no checkpoint in {args.folder}")
        export(loop.ema, out)
        return
    export(loop.run(), out)
    write_record(args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds})


if __name__ == "__main__":
    main()
