"""What a run of FlipSketch computes, for a plan by need: the reference branch, alignment and composed denoising."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from motionkit.transfer import Demand

from .config import FlipSketchConfig

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.context import RunContext

    from .compose import Composer

_HERE = "motionkit.methods.flipsketch.demands"


def demands(settings: FlipSketchConfig, frames: int) -> list[Demand]:
    """The calls of the video UNet in a run that makes so many frames; no torch."""
    steps, found = settings.sample.steps, list[Demand]()
    plain = f"{_HERE}:plain_once"
    if not settings.undrawn:
        align, share = settings.align, settings.compose.fraction
        aligned = round(align.fraction * steps)
        composed = min(steps, round(share * steps) + 1) if share > 0 else 0
        walked = steps if settings.pin_first_frame else max(aligned, composed)
        found.append(Demand("prepare", "inversion step", steps, settings.invert.copies, plain, like="reference step"))
        found.append(Demand("prepare", "reference step", walked, frames, f"{_HERE}:record_once", smaller="frames"))
        if align.enabled and aligned and align.updates:
            calls, once = aligned * align.updates * settings.seeds, f"{_HERE}:align_once"
            found.append(Demand("generate", "alignment", calls, frames, once, tunes=True, smaller="frames"))
        plain = f"{_HERE}:composed_once"
    sample = settings.sample
    guide: dict[str, Any] = {"guided": sample.guidance != 1, "halves": sample.batched}
    found.append(Demand("generate", "denoising step", steps, frames, plain, settings.seeds, smaller="frames", **guide))
    return found


def plain_once(backbone: VideoBackbone, settings: FlipSketchConfig, run: RunContext, clips: int) -> Callable[[], Any]:
    """The UNet's own prediction."""
    import torch

    composer, latents, text = _set_up(backbone, settings, run, clips)

    def call() -> Any:
        with torch.no_grad(), composer.installed():
            return composer.plain(latents, 500, text)

    return call


def record_once(backbone: VideoBackbone, settings: FlipSketchConfig, run: RunContext, clips: int) -> Callable[[], Any]:
    """The same with queries and keys kept."""
    import torch

    composer, latents, text = _set_up(backbone, settings, run, 1)

    def call() -> Any:
        with torch.no_grad(), composer.installed():
            return composer.record(latents, 500, text)[1].map(lambda tensor: tensor.cpu())

    return call


def composed_once(
    backbone: VideoBackbone, settings: FlipSketchConfig, run: RunContext, clips: int
) -> Callable[[], Any]:
    """A prediction with the queries and keys of a reference; of several clips the last half is composed."""
    import torch

    composer, latents, text = _set_up(backbone, settings, run, clips)
    with torch.no_grad(), composer.installed():
        recording = composer.record(latents[:1], 500, text[:1])[1].map(lambda tensor: tensor.cpu())

    def call() -> Any:
        with torch.no_grad(), composer.installed():
            return composer.composed(latents, 500, text, recording, clips // 2)

    return call


def align_once(backbone: VideoBackbone, settings: FlipSketchConfig, run: RunContext, clips: int) -> Callable[[], Any]:
    """One update of the frames' noise: forward and backward."""
    import torch

    from .align import align, checkpointed

    composer, latents, text = _set_up(backbone, settings, run, 1)
    first = latents[0, :, 0]
    wanted = settings.align.checkpointing
    again = backbone.plan.checkpointing if wanted == "auto" else wanted == "on"

    def call() -> Any:
        with torch.no_grad(), composer.installed(), checkpointed(backbone.unet, again):
            model: Any = lambda clip: composer.plain(clip, 500, text)  # noqa: E731
            return align(model, latents, first, first, updates=1, half=True)

    return call


def _set_up(
    backbone: VideoBackbone, settings: FlipSketchConfig, run: RunContext, clips: int
) -> tuple[Composer, Any, Any]:
    """The composer, latents (clips, C, F, h, w) and text states for them."""
    import torch

    from .compose import Composer

    composer = Composer(backbone.denoise, backbone.unet, lambda_=settings.lambda_, ramp=str(settings.compose.ramp))
    latents = torch.zeros(clips, *backbone.latent_shape(run.frames, run.height, run.width), device=backbone.device)
    return composer, latents, backbone.encode_text(["a"]).expand(clips, -1, -1)
