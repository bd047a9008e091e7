"""What a run of AnaMoDiff computes, for a plan by need: tuning, inversion, denoising; no torch until it is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from motionkit.transfer import Demand

from .config import AnaMoDiffConfig

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext

_HERE = "motionkit.methods.anamodiff.demands"


def demands(settings: AnaMoDiffConfig, frames: int) -> list[Demand]:
    """The calls of the video UNet in a run that makes so many frames.

    An anchor that is still to be found out counts as an extra frame, and a source frame for each output frame as all.
    """
    lora, sample, found = settings.lora, settings.sample, list[Demand]()
    if lora.steps:
        clips = 2 if lora.warped_weight else 1
        smaller = "method.lora.clip_frames"
        once = f"{_HERE}:tune_once"
        found.append(
            Demand("fit", "tuning step", lora.steps, lora.clip_frames, once, clips, tunes=True, smaller=smaller)
        )
    steps = range(sample.steps)
    calls = sample.steps
    if sample.start == "inverted":
        used = frames if settings.source_frame == "nearest" else 1
        once = f"{_HERE}:denoise_once"
        found.append(Demand("generate", "inversion step", calls, used, once, like="denoising step"))
    else:
        calls = max(1, sum(1 + i * (1000 // sample.steps) <= sample.start_t for i in steps))
    whole = frames + (settings.video.anchor in ("auto", "source"))
    once = f"{_HERE}:denoise_once"
    found.append(
        Demand("generate", "denoising step", calls, whole, once, guided=sample.guidance != 1, smaller="frames")
    )
    return found


def tune_once(backbone: VideoBackbone, settings: AnaMoDiffConfig, run: RunContext, clips: int) -> Callable[[], Any]:
    """One step of D_s, and of D_w beside it where there are two clips, with the optimiser's."""
    import torch

    from .nets import build
    from .tune import Material, tune

    _, channels, frames, height, width = _shape(backbone, run)
    warped = 1.0 if clips > 1 else 0.0
    lora = replace(settings.lora, steps=1, clip_frames=frames, warped_weight=warped, schedule="joint")
    clip = torch.zeros(frames, channels, height, width)
    material = Material(clip, clip, torch.zeros(frames, height, width, 2), clip[0] if frames > 1 else None)
    text = backbone.encode_text(["a"])
    return lambda: tune(build(backbone, lora, settings.video, run), backbone, text, material, lora, run)


def denoise_once(backbone: VideoBackbone, settings: AnaMoDiffConfig, run: RunContext, clips: int) -> Callable[[], Any]:
    """One prediction for clips through the tuned net."""
    import torch

    from .nets import build

    net = build(backbone, settings.lora, settings.video, run)
    net.unet.requires_grad_(False)
    _, channels, frames, height, width = _shape(backbone, run)
    latents = torch.zeros(clips, channels, frames, height, width, device=backbone.device)
    text = backbone.encode_text(["a"]).expand(clips, -1, -1)
    net.context.frames, net.context.anchor = frames, 0

    def call() -> Any:
        with torch.no_grad():
            return backbone.denoise(latents, 500, text, unet=net.unet)

    return call


def _shape(backbone: VideoBackbone, run: RunContext) -> tuple[int, int, int, int, int]:
    return (1, *backbone.latent_shape(run.frames, run.height, run.width))
