"""Trains the motion modules of `pocket-animatediff` on sprite clips; every weight of `pocket-sd` stays as it is.

As AnimateDiff does it (Guo et al. 2023, arXiv 2307.04725): a frozen image UNet, and between its layers attention over
time that starts as the identity. v-prediction on colour clips of 8, then 16 frames; part of the noise is shared by the
frames of two clips in three (arXiv 2305.10474).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from motionkit.errors import UserError
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.world import SpriteClip
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.training.pocket_modelscope import ASSETS, NOISES, caption, draw_noise, pictures
from motionkit.training.pocket_sd import LENGTH, SCHEDULE
from motionkit.training.sprite_batches import clips

ADAPTER = dict(
    block_out_channels=(48, 96, 192), motion_layers_per_block=1, motion_num_attention_heads=4,
    motion_norm_num_groups=16, motion_max_seq_length=32, use_motion_mid_block=False,
)  # fmt: skip
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


def captions(data: list[SpriteClip], seed: int, step: int) -> list[str]:
    """What each clip of a step shows, a tenth of them empty."""
    rng = rng_of("pocket-animatediff captions", seed, step)
    return [caption(c, False, rng) for c in data]


def subject_cells(data: list[SpriteClip], side: tuple[int, int]) -> Tensor:
    """Latent cells (b, 1, F, h, w) near the subject: 1, elsewhere 0."""
    m = torch.from_numpy(np.stack([c.mask for c in data])).float()  # (b, F, H, W)
    return F.max_pool2d(m, 8, 4, 2)[:, None, :, : side[0], : side[1]]  # (b, 1, F, h, w)


def make_loss(
    unet: UNetMotionModel, vae: AutoencoderKL, text: CLIPTextModel, tokenizer: CLIPTokenizer,
    batch: int, frames_at: Callable[[int], int], seed: int, device: str,
) -> LossFn:  # fmt: skip
    """MSE of v, subject cells weighted, late timesteps (where motion is decided) drawn more often."""
    scheduler = DDIMScheduler(**SCHEDULE)
    patch = int((vae.config.in_channels // 3) ** 0.5)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        frames = frames_at(step)
        data = clips("pocket-animatediff", seed, step, batch // NOISES, frames)
        rng = rng_of("pocket-animatediff pictures", seed, step)
        x = torch.cat([pictures(c, False, rng) for c in data]).to(device)
        ids = tokenizer(captions(data, seed, step), padding="max_length", max_length=LENGTH, truncation=True,
                        return_tensors="pt").input_ids  # fmt: skip
        with torch.no_grad():
            with torch.autocast(device, torch.bfloat16):
                z = vae.encode(F.pixel_unshuffle(x, patch)).latent_dist.mean.float() * vae.config.scaling_factor
            states = text(ids.to(device)).last_hidden_state.repeat(NOISES, 1, 1)
        z = z.unflatten(0, (len(data), frames)).transpose(1, 2)  # (b, 4, F, h, w)
        m = subject_cells(data, (z.shape[3], z.shape[4])).to(device).repeat(NOISES, 1, 1, 1, 1)
        z = z.repeat(NOISES, 1, 1, 1, 1)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        noise = draw_noise(z.shape, generator).to(device)
        even = (torch.randperm(len(z), generator=generator) + torch.rand(len(z), generator=generator)) / len(z)
        t = (even.sqrt() * 1000).long().to(device)  # density grows with t
        noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
        with torch.autocast(device, torch.bfloat16):
            v = unet(noisy, t, states.repeat_interleave(frames, 0)).sample
        error = (v.float() - target) ** 2
        return (error * (1 + 2 * m)).mean(), {"mse": error.mean().item(), "frames": float(frames)}

    return loss


def export(adapter: MotionAdapter, folder: Path) -> None:
    """Writes `motion_adapter/` in fp16 as diffusers has it, `scheduler/`, and whose parts the other parts are."""
    half = MotionAdapter(**ADAPTER)
    half.load_state_dict(adapter.state_dict())
    half.half().save_pretrained(folder / "motion_adapter", safe_serialization=True)
    DDIMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    shared = {part: f"pocket-sd/{part}" for part in ("unet", "vae", "text_encoder", "tokenizer")}
    (folder / "shared.json").write_text(json.dumps(shared) + "\n")


def main() -> None:
    """Command line: trains and exports."""
    parser = arguments(__doc__.splitlines()[0], "runs/train/pocket-animatediff", 1350, 1e-3)
    parser.add_argument("--export-only", action="store_true", help="write the averaged weights of the last checkpoint")
    args = parser.parse_args()
    base, out = ASSETS / "pocket-sd", args.out or ASSETS / "pocket-animatediff"
    if not (base / "unet").is_dir():
        raise UserError(f"no image UNet at {base / 'unet'}: run `make train-pocket-sd` first")
    torch.manual_seed(args.seed)
    image = UNet2DConditionModel.from_pretrained(base / "unet").float()
    unet, adapter = build(image)
    unet.to(args.device)
    vae = AutoencoderKL.from_pretrained(base / "vae").float().eval().requires_grad_(False).to(args.device)
    text = CLIPTextModel.from_pretrained(base / "text_encoder").float().eval().requires_grad_(False).to(args.device)
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    short_until = SHORT_SHARE * args.steps
    loss = make_loss(unet, vae, text, tokenizer, args.batch or 4, lambda step: SHORT if step < short_until else LONG,
                     args.seed, args.device)  # fmt: skip
    loop = Loop(adapter, loss, LoopSettings(args.folder, args.steps, args.lr, log_every=20, ema=0.995))
    if args.export_only:
        if not loop.resume():
            raise UserError(f"no checkpoint in {args.folder}")
        export(loop.ema, out)
        return
    export(loop.run(), out)
    write_record(args.folder / "record.json", {"steps": loop.step, "seconds": loop.seconds})


if __name__ == "__main__":
    main()
