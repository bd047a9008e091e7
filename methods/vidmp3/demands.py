"""What a run of VIDMP3 computes, for a plan by need: tuning, inversion and the edit; no torch until it is counted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from motionkit.transfer import Demand

from .config import VidMP3Config

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext

    from .maps import GuideMaps

_HERE = "motionkit.methods.vidmp3.demands"


def demands(settings: VidMP3Config, frames: int) -> list[Demand]:
    """The calls of the video UNet in a run that makes so many frames; the networks that perceive are left out."""
    walked = max(1, sum(1 + i * (1000 // settings.steps) <= settings.start_t for i in range(settings.steps)))
    found = []
    if settings.tune.steps and not settings.pack:
        once = f"{_HERE}:tune_once"
        found.append(Demand("fit", "tuning step", settings.tune.steps, frames, once, tunes=True, smaller="frames"))
    once, sample = f"{_HERE}:denoise_once", settings.sample
    guide: dict[str, Any] = {"guided": sample.guidance != 1, "halves": sample.batched}
    found.append(Demand("fit", "inversion step", walked, frames, once, smaller="frames", like="editing step"))
    found.append(Demand("generate", "editing step", walked, frames, once, smaller="frames", **guide))
    return found


def tune_once(backbone: VideoBackbone, settings: VidMP3Config, run: RunContext, clips: int) -> Callable[[], Any]:
    """One step of tuning the guides and the UNet, with the optimiser's."""
    import torch

    from .tune import tune

    once = copy.deepcopy(settings)
    once.tune.steps = 1
    channels, frames, height, width = backbone.latent_shape(run.frames, run.height, run.width)
    latents = torch.zeros(frames, channels, height, width)
    maps = _maps(settings, run)
    return lambda: tune(backbone, once, run, latents, "a", maps, [None] * len(maps), 0.1)


def denoise_once(backbone: VideoBackbone, settings: VidMP3Config, run: RunContext, clips: int) -> Callable[[], Any]:
    """One guided prediction through the tuned UNet, whose changed weights are float32."""
    import torch

    from .guided_unet import GuidedUNet, fresh_guides
    from .inject import install
    from .options import TuneOptions
    from .trainable import trainable_names
    from .unets import own_unet, untuned

    names = set(trainable_names(untuned(backbone), TuneOptions(settings.tune.temporal, settings.tune.ends)))
    unet = own_unet(backbone, names)
    for name, weight in unet.named_parameters():
        if name in names:
            weight.data = weight.data.float()
    injection, maps = install(unet, settings.guide.sites, settings.guide.blocks), _maps(settings, run)
    guides = fresh_guides(injection, settings.guide, len(maps), 0).to(backbone.device).requires_grad_(False)
    guided = GuidedUNet(backbone, unet, injection, guides, maps, [None] * len(maps), 0.1, settings.guide.centre)
    latents = torch.zeros(clips, *backbone.latent_shape(run.frames, run.height, run.width), device=backbone.device)
    text = backbone.encode_text(["a"]).expand(clips, -1, -1)

    def call() -> Any:
        with torch.no_grad():
            guided.guide()
            return guided.denoise(latents, 500, text)

    return call


def _maps(settings: VidMP3Config, run: RunContext) -> list[GuideMaps]:
    """Maps of each subject, without content."""
    import torch

    from .guided_unet import maps_of

    side = settings.maps.long_side
    seen: dict[str, Any] = {"masks": torch.ones(len(settings.names), run.frames, 1, side, side)}
    for i in range(len(settings.names)):
        seen |= {
            f"image.{i}": torch.ones(run.frames, 4, side, side),
            f"small.{i}": torch.ones(run.frames, 1, side, side),
        }
    return maps_of(seen, settings.guide.inputs)
