"""Training with the renderer's truth: keypoints, bone frames and exact flow supervise the two networks.

This is the recipe of the shipped pocket weights (`python -m motionkit.methods.anamodiff.supervised keypoints|lofnet`).
At inference nothing of the truth is used. All coordinates are in [-1, 1], -1/+1 on pixel centres, x first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.backbones import load
from motionkit.backbones.base import VideoBackbone
from motionkit.diffusion.warp import identity_grid, warp
from motionkit.errors import in_one_line
from motionkit.settings.gpu import Plan
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.world import SpriteClip, exact_flow, render_clip
from motionkit.training.loop import Loop, LoopSettings, LossFn, arguments, write_record
from motionkit.training.recipes.sprite_batches import clips

from .keypoints import Keypoints, KPDetector
from .lofnet import LOFNet
from .weights import load_network, pocket_folder, save_network, vae_signature

SIZE = 128
EASY = ("easy",)  # what the shipped weights were trained on; `--settings easy wild` varies the renderer
KEYPOINT_CONFIG = dict(num_kp=12, block_expansion=16, max_features=160, num_blocks=4, scale_factor=0.5, pad=3)
VISIBLE = 0.2  # weight of the visibility head's cross-entropy
LOFNET_CONFIG = dict(num_kp=12, num_channels=4, block_expansion=24, max_features=160, num_blocks=4, kp_variance=0.01)


def truth_keypoints(batch: list[SpriteClip], frame: int) -> Keypoints:
    """True points (B, 12, 2) and bone frames (B, 12, 2, 2) of one frame of each clip."""
    value = np.stack([c.keypoints[frame] for c in batch]) * 2 / (batch[0].size - 1) - 1
    jacobian = np.stack([c.jacobians[frame] for c in batch])
    return Keypoints(torch.from_numpy(value).float(), torch.from_numpy(jacobian).float())


def frames01(batch: list[SpriteClip], frame: int) -> Tensor:
    """One frame of each clip (B, 3, H, W) in [0, 1]."""
    stacked = np.stack([c.frames[frame] for c in batch])  # (B, H, W, 3)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)


def place_anew(frames: Tensor, points: Keypoints, generator: torch.Generator) -> tuple[Tensor, Keypoints]:
    """Moves each picture by a small random similarity, and its keypoints with it (turn ±0.25, scale 0.75-1.15)."""
    count = len(frames)
    u = torch.rand(count, 4, generator=generator) * 2 - 1
    turn, scale = 0.25 * u[:, 0], 1.08 + 0.25 * u[:, 1]
    c, s = turn.cos(), turn.sin()
    rotation = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)  # (B, 2, 2)
    linear, shift = rotation * scale[:, None, None], 0.15 * u[:, 2:]
    grid = identity_grid(*frames.shape[-2:])
    grid = torch.einsum("bij,hwj->bhwi", linear, grid) + shift[:, None, None]  # (B, H, W, 2)
    moved = warp(frames, grid, padding="border")
    inverse = torch.linalg.inv(linear)
    value = torch.einsum("bij,bkj->bki", inverse, points.value - shift[:, None])  # (B, 12, 2)
    return moved, Keypoints(value, rotation.transpose(1, 2)[:, None] @ points.jacobian)  # (B, 12, 2, 2)


def shared_clips(
    name: str, seed: int, step: int, count: int, settings: Sequence[str] = EASY, **options: Any
) -> list[SpriteClip]:
    """`count` clips, their settings in turn, of which one may be named twice; of one setting, what `clips` draws."""
    share = -(-count // len(settings))
    names = [f"{name} {i}" if setting in settings[:i] else name for i, setting in enumerate(settings)]
    each = [clips(n, seed, step, share, setting=s, **options) for n, s in zip(names, settings, strict=True)]
    return [clip for turn in zip(*each, strict=True) for clip in turn][:count]


def keypoint_loss(detector: KPDetector, batch: int, seed: int, device: str, settings: Sequence[str] = EASY) -> LossFn:
    """L1 on points (weight 10) and on bone frames; half of the pictures are placed anew."""

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        data = shared_clips("anamodiff-keypoints", seed, step, batch, settings)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        x, truth = frames01(data, 0), truth_keypoints(data, 0)
        half = batch // 2
        moved, placed = place_anew(x[:half], truth[slice(0, half)], generator)
        x = torch.cat([moved, x[half:]]).to(device)
        value = torch.cat([placed.value, truth.value[half:]]).to(device)
        jacobian = torch.cat([placed.jacobian, truth.jacobian[half:]]).to(device)
        with torch.autocast(device, torch.bfloat16):
            out = detector(x)
        inside = (value.abs() <= 1).all(-1, keepdim=True)  # a point may have left the picture
        off = ((out.value - value).abs() * inside).mean()
        turn = (out.jacobian - jacobian).abs().mean()
        pixels = ((out.value - value)[half:].norm(dim=-1) * (SIZE - 1) / 2).mean().item()
        return 10 * off + turn, {"pixels": pixels, "jacobian": turn.item()}

    return loss


@torch.no_grad()
def evaluate_keypoints(
    detector: KPDetector, split: str = "test", count: int = 100, setting: str = "easy"
) -> dict[str, float]:
    """Error on held-out characters, pixels of a 128 px picture, and angle error, degrees."""
    data = clips("keypoints-eval", 1, 0, count, split=split, setting=setting)
    out, truth = detector(frames01(data, 0)), truth_keypoints(data, 0)
    error = (out.value - truth.value).norm(dim=-1) * (SIZE - 1) / 2  # (B, 12)
    dot = (out.jacobian[..., 0] * truth.jacobian[..., 0]).sum(-1)
    angle = torch.acos((dot / out.jacobian[..., 0].norm(dim=-1).clamp_min(1e-6)).clamp(-1, 1)).rad2deg()
    return {
        "mean_px": error.mean().item(),
        "median_px": error.median().item(),
        "pck_6px": (error < 6).float().mean().item(),
        "median_degrees": angle.median().item(),
        "mean_degrees": angle.mean().item(),
        "n": count,
    }


@dataclass
class Pairs:
    """A batch of source and target frames of the same clips with their exact flow on the latent grid.

    `visible` (B, side, side) is the share of each target cell whose content the source shows.
    """

    source: Tensor
    target: Tensor
    kp_source: Keypoints
    kp_target: Keypoints
    flow: Tensor
    weight: Tensor
    visible: Tensor


def pairs(
    name: str, seed: int, step: int, batch: int, split: str, side: int, size: int = SIZE, setting: str = "easy"
) -> Pairs:
    """Two random moments of each clip; flow (B, side, side, 2) and weight (B, side, side), 0 where hidden.

    Args:
        side: of the latents.  size: of the frames, a multiple of it.
    """
    rng = rng_of(name, seed, step, "moments")
    data = clips(name, seed, step, batch, frames=2, size=size, split=split, setting=setting)
    flows, weights, shown = [], [], []
    for i, clip in enumerate(data):
        gap = int(rng.integers(1, 10))  # the second frame is up to nine frames later: any two moments of a cycle
        clip = clip if gap == 1 else _respaced(clip, gap)
        data[i] = clip
        places, valid = exact_flow(clip.parts, clip.matrices, 1, 0)
        cell = clip.size // side
        still = np.stack(np.meshgrid(np.arange(clip.size), np.arange(clip.size)), -1)  # (H, W, 2)
        # Displacements, not places: a partly hidden cell must stand still too, and -1 and +1 lie on cell centres here.
        moved = (places - still) * 2 / (cell * (side - 1))
        seen = valid.astype(np.float32) * (1 + 4 * clip.mask[1])
        count = seen.reshape(side, cell, side, cell).sum((1, 3))  # (side, side)
        total = (moved * seen[..., None]).reshape(side, cell, side, cell, 2).sum((1, 3))  # (side, side, 2)
        flows.append(total / np.maximum(count, 1e-6)[..., None] + identity_grid(side, side).numpy())
        weights.append(count / cell**2)
        shown.append(valid.reshape(side, cell, side, cell).mean((1, 3)))  # (side, side)
    return Pairs(
        frames01(data, 0),
        frames01(data, 1),
        truth_keypoints(data, 0),
        truth_keypoints(data, 1),
        torch.from_numpy(np.stack(flows)).float(),
        torch.from_numpy(np.stack(weights)).float(),
        torch.from_numpy(np.stack(shown)).float(),
    )


def _respaced(clip: SpriteClip, gap: int) -> SpriteClip:
    """The clip again with its two frames `gap` frames apart."""
    return render_clip(clip.character, replace(clip.motion, speed=clip.motion.speed * gap), 2, clip.size)


def lofnet_loss(
    net: LOFNet,
    detector: KPDetector,
    backbone: VideoBackbone,
    batch: int,
    seed: int,
    device: str,
    settings: Sequence[str] = EASY,
) -> LossFn:
    """The paper's L_warp (MSE of warped and true latents), plus L1 to the exact flow where the source shows the part.

    A visibility head, where there is one, learns what share of each cell the source shows. Keypoints are the detector's
    own (what inference will feed), mixed with true ones in a quarter of the batch.
    """

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        setting = settings[step % len(settings)]
        data = pairs("anamodiff-lofnet", seed, step, batch, "train", 32, setting=setting)
        with torch.no_grad():
            latents = backbone.encode(torch.cat([data.source, data.target])).float().to(device)
            z_s, z_d = latents.chunk(2)
            found = detector(torch.cat([data.source, data.target]).to(device))
            kp_s, kp_d = found[slice(0, batch)], found[slice(batch, None)]
            q = batch // 4
            for kp, truth in ((kp_s, data.kp_source), (kp_d, data.kp_target)):
                kp.value[:q], kp.jacobian[:q] = truth.value[:q].to(device), truth.jacobian[:q].to(device)
        with torch.autocast(device, torch.bfloat16):
            motion = net(z_s, kp_d, kp_s)
        flow, weight = data.flow.to(device), data.weight.to(device)
        off = ((motion.flow - flow).abs().sum(-1) * weight).sum() / weight.sum()
        moved = warp(z_s, motion.flow, padding="border")
        l_warp = F.mse_loss(moved, z_d)
        still = F.mse_loss(z_s, z_d).item()
        logs = {"flow": off.item() * SIZE / 2, "l_warp": l_warp.item(), "l_still": still}
        total = 5 * off + l_warp
        if motion.occlusion is not None:
            shown = F.binary_cross_entropy(motion.occlusion[:, 0].clamp(1e-4, 1 - 1e-4), data.visible.to(device))
            total, logs = total + VISIBLE * shown, logs | {"visible": shown.item()}
        return total, logs

    return loss


@torch.no_grad()
def evaluate_lofnet(
    net: LOFNet, detector: KPDetector, backbone: VideoBackbone, count: int = 64, setting: str = "easy"
) -> dict[str, float]:
    """Flow error on held-out characters (pixels, subject only) and warp error against doing nothing."""
    data = pairs("lofnet-eval", 1, 0, count, "test", 32, setting=setting)
    z_s, z_d = backbone.encode(data.source).float(), backbone.encode(data.target).float()
    motion = net(z_s, detector(data.target), detector(data.source))
    subject = (data.weight > 1.5).float()
    off = (motion.flow - data.flow).norm(dim=-1) * SIZE / 2
    moved = warp(z_s, motion.flow, padding="border")
    return {
        "flow_px": (off * subject).sum().item() / subject.sum().item(),
        "l_warp": F.mse_loss(moved, z_d).item(),
        "l_still": F.mse_loss(z_s, z_d).item(),
        "n": count,
    }


def by_style(measure: Callable[[str], dict[str, float]]) -> dict[str, float]:
    """Figures on `easy` under their own names, and on `wild` and the unseen `foreign` with the style before them."""
    out = measure("easy")
    for style in ("wild", "foreign"):
        out |= {f"{style}_{name}": value for name, value in measure(style).items() if name != "n"}
    return out


def in_hourglass(name: str) -> bool:
    """Whether Muon trains that weight, if it has two or more dimensions: the hourglass's but for its first layer."""
    return name.startswith(("predictor", "hourglass")) and "encoder.down_blocks.0." not in name


def main() -> None:
    """Command line: `keypoints` or `lofnet`."""
    if len(sys.argv) < 2 or sys.argv[1] not in TRAINERS:
        raise SystemExit("which network to train: keypoints or lofnet")
    what = sys.argv.pop(1)
    steps, lr, train = TRAINERS[what]
    parser = arguments(__doc__.splitlines()[0], f"runs/train/anamodiff-{what}", steps, lr)
    parser.add_argument("--settings", nargs="+", default=list(EASY), help="settings of the sprite world, in turn")
    parser.add_argument("--muon", action="store_true", help="Muon trains the hourglass")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    batch, out = args.batch or 16, args.out or pocket_folder()
    settings = LoopSettings(args.folder, args.steps, args.lr, ema=0.995)
    if args.muon:
        settings = replace(settings, muon=in_hourglass, clip=float("inf"), decay=0.4)
    trained = train(args, batch, out, settings)
    state = {k: v.half() if v.is_floating_point() else v for k, v in trained.network.state_dict().items()}
    figures = trained.figures
    save_network(out / f"{what}.safetensors", what, dict(trained.config), state, **trained.facts, figures=figures)
    write_record(
        args.folder / "record.json",
        {"steps": args.steps, "batch": batch, "settings": args.settings, "figures": figures},
    )
    print(figures)


class Trained(NamedTuple):
    """A network after its training, its sizes, its figures on held-out clips, and what else its file says."""

    network: nn.Module
    config: dict[str, Any]
    figures: dict[str, float]
    facts: dict[str, Any]


def _train_keypoints(args: argparse.Namespace, batch: int, out: Path, settings: LoopSettings) -> Trained:
    detector = KPDetector(**KEYPOINT_CONFIG).to(args.device)
    loss = keypoint_loss(detector, batch, args.seed, args.device, args.settings)
    trained: Any = Loop(detector, loss, settings).run().cpu()
    return Trained(trained, KEYPOINT_CONFIG, by_style(lambda s: evaluate_keypoints(trained, setting=s)), {})


def _train_lofnet(args: argparse.Namespace, batch: int, out: Path, settings: LoopSettings) -> Trained:
    backbone = load("pocket-sd", Plan())
    detector, _ = load_network(out / "keypoints.safetensors", "keypoints")
    net = LOFNet(**LOFNET_CONFIG).to(args.device)
    loss = lofnet_loss(net, detector.to(args.device), backbone, batch, args.seed, args.device, args.settings)
    trained: Any = Loop(net, loss, settings).run().cpu()
    detector = detector.cpu()
    figures = by_style(lambda s: evaluate_lofnet(trained, detector, backbone, setting=s))
    return Trained(trained, LOFNET_CONFIG, figures, {"vae": vae_signature(backbone.vae), "backbone": "pocket-sd"})


TRAINERS = {"keypoints": (2200, 2e-3, _train_keypoints), "lofnet": (1750, 1e-3, _train_lofnet)}  # steps, rate


if __name__ == "__main__":
    in_one_line(main)
