"""The loss of an Animate-X network, and its evaluation on held-out clips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from motionkit.training.loop import LossFn
from motionkit.training.tracker import Tracker, tell_losses

from .train_batch import Batch, Examples
from .train_config import TrainOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from motionkit.methods.animatex.net import Conditions
    from motionkit.methods.animatex.net.backbone import AnimateXBackbone

_BATCHES, _TIMES = 3, (200, 500, 800)


class Denoiser(nn.Module):
    """Everything that is trained: the network, and the image encoder if it is.

    `look` makes of pictures (N, 3, H, W) what the encoder reads.
    """

    def __init__(self, network: nn.Module, encoder: nn.Module | None, look: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.look = network, look
        if encoder is not None:
            self.image_encoder = encoder

    def features(self, seen: Tensor) -> Tensor:
        """Pictures (B, T, 3, H, W) in [0, 1] to (B, T, C)."""
        found = self.image_encoder(self.look(seen.flatten(0, 1))).image_embeds  # (B T, C)
        return found.unflatten(0, seen.shape[:2])  # (B, T, C)

    def forward(self, batch: Batch, noisy: Tensor, given: Conditions | None = None) -> Tensor:
        """v (B, C, F, h, w) under the batch's conditions, or under others without dropping any."""
        conditions, keep = (batch.given, batch.keep) if given is None else (given, None)
        network: Any = self.network
        return network(noisy, batch.t, network.prepare(conditions, keep))


def complete(model: Denoiser, batch: Batch, indicator: bool) -> Conditions:
    """The batch's conditions with the features of an encoder that learns."""
    if batch.seen is None:
        return batch.given
    features = model.features(batch.seen)
    return replace(batch.given, clip_ref=features[:, :1], clip_frames=features if indicator else None)


def make_loss(
    model: Denoiser,
    examples: Examples,
    backbone: AnimateXBackbone,
    options: TrainOptions,
    tracker: Tracker | None = None,
) -> LossFn:
    """MSE of v, heavier near the body, of the batch of a number."""
    recipe = options.recipe

    def loss(number: int) -> tuple[Tensor, dict[str, float]]:
        batch = on_device(examples.at(number, recipe.batch), backbone.device)
        noisy, target = noised(backbone, batch)
        with arithmetic(backbone):
            filled = replace(batch, given=complete(model, batch, options.indicator))
            error = (model(filled, noisy).float() - target).square()
        if tracker is not None:
            tell_losses(tracker, batch.t, lambda: error)
        return (error * (1 + recipe.pose_weight * batch.near)).mean(), {"mse": error.mean().item()}

    return loss


def noised(backbone: AnimateXBackbone, batch: Batch) -> tuple[Tensor, Tensor]:
    """Noisy latents of a batch, and the v to be predicted."""
    arguments = batch.clean, batch.noise, batch.t
    return backbone.noised(*arguments), backbone.training_target(*arguments)


@torch.no_grad()
def measure(model: Denoiser, examples: Examples, backbone: AnimateXBackbone, options: TrainOptions) -> dict[str, Any]:
    """Error of v on clips, held-out ones where there are some, with all conditions and with none; poses as they are."""
    sums = {"error": 0.0, "without": 0.0}
    unchanged = replace(options, epi=replace(options.epi, probability=0.0))
    shown = Examples(examples.clips, unchanged, examples.text, examples.side, 1, examples.factor, held_out=True)
    for number in range(_BATCHES):
        batch = on_device(shown.at(number, options.recipe.batch), backbone.device)
        for t in _TIMES:
            timed = replace(batch, t=torch.full_like(batch.t, t))
            noisy, target = noised(backbone, timed)
            with arithmetic(backbone):
                given = complete(model, timed, options.indicator)
                for name, conditions in (("error", given), ("without", given.empty())):
                    v = model(timed, noisy, conditions).float()
                    sums[name] += float((v - target).square().mean())
    count = _BATCHES * len(_TIMES)
    return {name: round(value / count, 5) for name, value in sums.items()} | {"held_out": bool(examples.clips.held_out)}


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch there."""
    keep = replace(batch.keep, **{n: getattr(batch.keep, n).to(device) for n in ("local", "pose", "image", "rest")})
    moved = {n: getattr(batch, n).to(device) for n in ("clean", "noise", "t", "near")}
    seen = None if batch.seen is None else batch.seen.to(device)
    return replace(batch, **moved, given=batch.given.to(device, torch.float32), seen=seen, keep=keep)


@contextmanager
def arithmetic(backbone: AnimateXBackbone) -> Iterator[None]:
    """The plan's autocast; on a CPU without the fused attention, whose backward is slow for short sequences."""
    plan = backbone.plan
    cast: AbstractContextManager[Any] = nullcontext()
    if plan.autocast is not None:
        cast = torch.autocast(backbone.device.type, getattr(torch, plan.autocast))
    with ExitStack() as stack:
        stack.enter_context(cast)
        if backbone.device.type == "cpu":
            stack.enter_context(torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH))
        yield
