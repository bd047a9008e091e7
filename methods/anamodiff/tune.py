"""Two-level disentangled fine-tuning of the video UNet (AnaMoDiff section 3.3).

One loss teaches the source clip at all noise levels (what the character looks like), the other the warped clip at high
noise only (where its parts will be), so that the warp's blur and tears are never learnt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.backbones.mixed_precision import loss_scale, mixed
from motionkit.diffusion.noise import warp_noise
from motionkit.training.clip_fit import FitSettings, OnStep, fit
from motionkit.training.loss_scale import LossScale

from .balance import evened, windowed
from .config import LoraConfig
from .nets import TEMPORAL_OUT, Net

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext
    from motionkit.transfer import Tensors


def trainable(net: Net) -> dict[str, nn.Parameter]:
    """What is tuned: adapters, and new temporal out-projections, which start at zero and need a base to learn."""
    return {name: weight for name, weight in net.unet.named_parameters() if weight.requires_grad}


def load_tuned(net: Net, fitted: Tensors) -> None:
    """Put tuned weights into a net from `build`, and fold the adapters in where that loses no precision."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    with torch.no_grad():
        if fitted:  # nothing was tuned with lora.steps=0
            for name, weight in trainable(net).items():
                weight.copy_(fitted[name])
    net.unet.requires_grad_(False)
    if next(net.unet.parameters()).dtype == torch.float32:
        for module in net.unet.modules():
            if isinstance(module, BaseTunerLayer):
                module.merge()


@dataclass(frozen=True)
class Material:
    """What there is to learn from.

    Attributes:
        source: (S, C, h, w) latents of the source clip.
        warped: (T, C, h, w) latents of the warped clip.
        grid: (T, h, w, 2) that moves noise along with it.
        anchor: (C, h, w) an undistorted source frame that leads every training clip, or None.
        stills: (N, C, h, w) variations of a single source image, or None for a source clip.
    """

    source: Tensor
    warped: Tensor
    grid: Tensor
    anchor: Tensor | None = None
    stills: Tensor | None = None


@dataclass(frozen=True)
class Part:
    """One of the losses of a step: clean clips (B, C, F, h, w), noise, timesteps (B,), weight.

    With `balanced` the weight makes up for what the model predicts.
    """

    clean: Tensor
    noise: Tensor
    t: Tensor
    weight: float
    balanced: bool = False


def parts(step: int, lora: LoraConfig, material: Material, generator: torch.Generator) -> list[Part]:
    """The losses of one step: D_s over all timesteps, and D_w on the warped clip over high noise only."""
    chosen = [_source_part(lora, material, generator)]
    waits = lora.schedule == "sequential" and step < lora.steps / 2
    if lora.warped_weight and not waits:
        chosen.append(_warped_part(lora, material, generator))
    return chosen


def _source_part(lora: LoraConfig, material: Material, generator: torch.Generator) -> Part:
    count = lora.clip_frames
    if material.stills is None:
        index = _window(len(material.source), count - (material.anchor is not None), generator)
        clean = _clip(material.source[index], material.anchor)
    else:
        # Single frames: a still repeated in time would teach the temporal layers that nothing moves.
        index = torch.randint(len(material.stills), (count,), generator=generator)
        clean = material.stills[index][:, :, None]  # (N,C,1,h,w)
    t = _times(lora.source_low, lora.source_high, len(clean), generator)
    return Part(clean, torch.randn(clean.shape, generator=generator), t, 1.0)


def _warped_part(lora: LoraConfig, material: Material, generator: torch.Generator) -> Part:
    lead = material.anchor is not None
    index = _window(len(material.warped), lora.clip_frames - lead, generator)
    clean = _clip(material.warped[index], material.anchor)
    noise = torch.randn(clean.shape, generator=generator)
    if torch.rand((), generator=generator) < lora.shared_noise:
        # Inference starts from noise that moves with the content, so some of the training has to as well.
        base = torch.randn((1, *clean.shape[1:2], *clean.shape[3:]), generator=generator)
        moved = warp_noise(base, material.grid[index], "restore", generator)
        noise = _clip(moved, base[0] if lead else None)
    t = _times(lora.warped_low, lora.warped_high, 1, generator)
    return Part(clean, noise, t, lora.warped_weight, lora.warped_balance == "prediction")


def _clip(frames: Tensor, anchor: Tensor | None) -> Tensor:
    """Frames (F, C, h, w), led by the anchor when there is one, as a batch of one clip."""
    frames = frames if anchor is None else torch.cat([anchor[None], frames])
    return frames.transpose(0, 1)[None]  # (1,C,F,h,w)


def _window(length: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` neighbouring frames of `length`: a random window, or to and fro when there are too few."""
    count = max(count, 1)
    if length >= count:
        return torch.arange(count) + int(torch.randint(length - count + 1, (), generator=generator))
    there_and_back = [*range(length), *range(length - 2, 0, -1)]
    return torch.tensor([there_and_back[i % len(there_and_back)] for i in range(count)])


def _times(low: int, high: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(low, high, (count,), generator=generator)


def loss_of(
    net: Net, backbone: VideoBackbone, text: Tensor, chosen: list[Part], backward: bool = True, scale: float = 1.0
) -> list[float]:
    """The losses of one step, unweighted; their weighted gradients are added up on the way, times `scale`.

    Parts with as many frames go through the net together, others one after the other, each with its backward: the
    inflated modules share one number of frames.
    """
    losses = [0.0] * len(chosen)
    for group in _by_frames(chosen):
        members = [chosen[i] for i in group]
        clean, noise, t = (
            torch.cat([getattr(m, k) for m in members]).to(backbone.device) for k in ("clean", "noise", "t")
        )
        net.context.frames, net.context.anchor = clean.shape[2], 0
        with mixed(backbone):
            out = backbone.denoise(backbone.noised(clean, noise, t), t, text.expand(len(clean), -1, -1), unet=net.unet)
        error = F.mse_loss(out, backbone.training_target(clean, noise, t), reduction="none").flatten(1).mean(1)  # (B,)
        each = error.split([len(m.clean) for m in members])
        if backward:
            weights = [m.weight * (evened(backbone, m.t) if m.balanced else 1.0) for m in members]
            weighted = torch.stack([w * e.mean() for w, e in zip(weights, each, strict=True)]).sum()
            (weighted * scale).backward()
        for i, e in zip(group, each, strict=True):
            losses[i] = float(e.detach().mean())
    return losses


def gradient_norms(
    net: Net, backbone: VideoBackbone, text: Tensor, chosen: list[Part], scale: float = 1.0
) -> list[float]:
    """Each loss's own gradient on the tuned weights, weighted as in training, as its norm; leaves no gradient."""
    weights, norms = list(trainable(net).values()), []
    for part in chosen:
        loss_of(net, backbone, text, [part], scale=scale)
        squares = [float(weight.grad.double().square().sum()) for weight in weights if weight.grad is not None]
        norms.append(math.sqrt(sum(squares)) / scale)
        for weight in weights:
            weight.grad = None
    return norms


def _by_frames(chosen: list[Part]) -> Iterator[list[int]]:
    for frames in dict.fromkeys(part.clean.shape[2] for part in chosen):
        yield [i for i, part in enumerate(chosen) if part.clean.shape[2] == frames]


def tune(
    net: Net,
    backbone: VideoBackbone,
    text: Tensor,
    material: Material,
    lora: LoraConfig,
    run: RunContext,
    on_step: OnStep | None = None,
) -> Tensors:
    """Minimise D_s + D_w with Adam; every draw depends on the step alone, so a killed fit resumes exactly.

    Args:
        net: from `build`.
        text: (1, L, C) states of the prompt.
        on_step: called with the step and its losses.

    Returns:
        The tuned weights by name.
    """
    weights = trainable(net)
    for weight in weights.values():
        weight.data = weight.data.to(backbone.device, torch.float32)  # with offload=model the UNet is not there yet
    slow = [w for n, w in weights.items() if TEMPORAL_OUT in n]
    fast = [w for n, w in weights.items() if TEMPORAL_OUT not in n]
    lr = lora.lr
    adam = torch.optim.Adam([{"params": fast, "lr": lr}, {"params": slow, "lr": lr * lora.temporal_lr}])
    settings = FitSettings(lora.steps, lora.save_every, lora.max_grad, "fit", f"method.lora.lr={lr:g}")

    lora = windowed(lora, backbone.scheduler, material.warped.shape[-2] * material.warped.shape[-1])
    told: dict[str, list[float]] = {}

    def backward(step: int, scale: float) -> list[float]:
        chosen = parts(step, lora, material, run.generator(f"fit {step}"))
        if step in (0, lora.steps // 2) and len(chosen) > 1:
            told[str(step)] = [float(f"{x:.4g}") for x in gradient_norms(net, backbone, text, chosen, scale)]
            run.note("gradients", {"source and warped, by step": told, "warped_low": lora.warped_low})
        return loss_of(net, backbone, text, chosen, scale=scale)

    fit(weights, adam, backward, settings, run, run.checkpoint("fit"), LossScale(loss_scale(backbone)), on_step)
    return {name: weight.detach() for name, weight in weights.items()}
