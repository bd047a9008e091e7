"""Tuning MotionGuide and a few of the UNet's weights to reconstruct the source video (VIDMP3 section 3.2, Eq. 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.backbones import checkpointing
from motionkit.backbones.mixed_precision import loss_scale
from motionkit.training.clip_fit import FitSettings, fit
from motionkit.training.loss_scale import LossScale

from .config import VidMP3Config
from .guided_unet import GuidedUNet, fresh_guides
from .inject import install
from .maps import GuideMaps
from .options import TuneOptions
from .pack import Pack, PackFacts, guide_facts, schedule_of
from .trainable import deltas, make_trainable, trainable_names
from .unets import own_unet, untuned

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext

OnStep = Callable[[int, float], None]


def tune(
    backbone: VideoBackbone,
    config: VidMP3Config,
    run: RunContext,
    latents: Tensor,
    source_prompt: str,
    maps: Sequence[GuideMaps],
    gates: Sequence[Tensor | None],
    strength: float,
    weight: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Pack:
    """Adam on noise prediction at random noise levels; every draw depends on the step alone, so a killed run resumes.

    Args:
        latents: (F, C, h, w) of the source video.
        maps, gates: of each subject; no maps: nothing is guided, only the UNet is tuned.
        strength: lambda.
        weight: (F, 1, h, w): the loss counts where it is 1 (method.tune.loss=subject); None is everywhere.
        on_step: called with each step and its loss.

    Raises:
        UserError: the loss became NaN or infinite.
    """
    options = TuneOptions(config.tune.temporal, config.tune.ends, config.tune.rank)
    unet = own_unet(backbone, trainable_names(untuned(backbone), options))
    weights = make_trainable(unet, options, run.generator("lora").initial_seed())
    if config.tune.checkpointing != "auto":
        (checkpointing.enable if config.tune.checkpointing == "on" else checkpointing.disable)(unet)
    injection = install(unet, config.guide.sites, config.guide.blocks)
    count = max(len(maps), 1)
    guides = fresh_guides(injection, config.guide, count, run.generator("guide").initial_seed() % 2**31)
    guides.to(backbone.device).train()
    guided = GuidedUNet(backbone, unet, injection, guides, maps, gates[: len(maps)], strength, config.guide.centre)
    _loop(guided, weights, config, run, latents, backbone.encode_text([source_prompt]), weight, on_step)
    base = dict(untuned(backbone).named_parameters())
    changed = {name: change.to(kept_dtype(backbone)) for name, change in deltas(base, weights).items()}
    state = _unnumbered({k: v.detach().float().cpu() for k, v in guides.state_dict().items()}, count)
    return Pack(_facts(backbone, config, run, source_prompt, guided), state, changed)


def kept_dtype(backbone: VideoBackbone) -> torch.dtype:
    """The type in which the UNet's changes are kept: half precision where the UNet's own weights are."""
    return torch.float32 if backbone.dtype == torch.float32 else torch.float16


def _unnumbered(state: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """A single guide's weights have no number, as `Pack` has them."""
    return {name.removeprefix("0."): value for name, value in state.items()} if count == 1 else state


def _facts(
    backbone: VideoBackbone, config: VidMP3Config, run: RunContext, source_prompt: str, guided: GuidedUNet
) -> PackFacts:
    guide: nn.Module = guided.guides[0]
    return PackFacts(
        backbone.spec.name,
        backbone.fingerprint(),
        schedule_of(backbone.scheduler),
        guided.scale,
        **guide_facts(guide),  # type: ignore[arg-type]
        centre=guided.centre,
        frames=run.frames,
        height=run.height,
        width=run.width,
        source_prompt=source_prompt,
        subjects=tuple(name for name in config.names if name),
        extra={"steps": config.tune.steps},
    )


def _loop(
    guided: GuidedUNet,
    weights: dict[str, nn.Parameter],
    config: VidMP3Config,
    run: RunContext,
    latents: Tensor,
    text: Tensor,
    weight: Tensor | None,
    on_step: OnStep | None,
) -> None:
    for parameter in weights.values():
        parameter.data = parameter.data.to(guided.backbone.device)  # with offload=model the UNet is not there yet
    tuned = weights | ({f"guide.{name}": p for name, p in guided.guides.named_parameters()} if guided.maps else {})
    adam = torch.optim.Adam(
        [
            {"params": [w for n, w in tuned.items() if n.startswith("guide.")], "lr": config.tune.lr},
            {"params": list(weights.values()), "lr": config.tune.unet_lr},
        ]
    )
    times = timesteps_of(config, guided.backbone.scheduler.config.num_train_timesteps)
    clean = latents.transpose(0, 1)[None].to(guided.backbone.device)  # (1,C,F,h,w)
    weight = None if weight is None else weight.transpose(0, 1)[None].to(clean)  # (1,1,F,h,w)

    def backward(step: int, scale: float) -> tuple[float]:
        loss = _loss(guided, clean, text, weight, times, run.generator(f"tune {step}"))
        (loss * scale).backward()
        return (float(loss.detach()),)

    how = config.tune
    settings = FitSettings(how.steps, how.save_every, how.max_grad, "tune", f"method.tune.unet_lr={how.unet_lr}")
    told = None if on_step is None else lambda step, losses: on_step(step, losses[0])
    scale = LossScale(loss_scale(guided.backbone))
    fit(tuned, adam, backward, settings, run, run.checkpoint("fit:tune"), scale, told)


def timesteps_of(config: VidMP3Config, steps: int) -> range:
    """The timesteps that tuning draws from: those of the edit, without the lowest share `tune.least_t` of all."""
    low, high = int(config.tune.least_t * steps), config.start_t * steps // 1000
    return range(low, max(high, low + 1))


def _loss(
    guided: GuidedUNet, clean: Tensor, text: Tensor, weight: Tensor | None, times: range, generator: torch.Generator
) -> Tensor:
    """The error of the prediction at one noise level, with phi made anew so that the guide gets its gradient."""
    backbone = guided.backbone
    t = torch.randint(times.start, times.stop, (1,), generator=generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    guided.guide()
    found = guided.denoise(backbone.noised(clean, noise, t), t, text)
    target = backbone.training_target(clean, noise, t)
    if weight is None:
        return F.mse_loss(found, target)
    return ((found - target).square() * weight).sum() / (weight.sum() * clean.shape[1]).clamp_min(1)
