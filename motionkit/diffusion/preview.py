"""What a clip looks like while it is denoised: a watcher of the loop, and a linear map from latents to colours.

Where a small decoder of the latents is at hand on a GPU (`motionkit.backbones.quick_decoder`), it makes the pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

from motionkit.backbones.base import VideoBackbone
from motionkit.backbones.noise_levels import to_eps_x0
from motionkit.backbones.quick_decoder import Decoder, quick_decoder
from motionkit.diffusion.schedule import Step

Watcher = Callable[[Callable[[], Tensor]], None]  # gets a call that makes the clean latents, (B, C, F, h, w)
_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
MOST = 4  # frames in a picture
_RIDGE = 1e-3


@contextmanager
def watched(watcher: Watcher | None) -> Iterator[None]:
    """The loop tells this watcher after each step, in this thread and inside the block."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def tell(sampler: object, prediction: Tensor, noised: Tensor, step: Step) -> None:
    """Show the watcher the clean latents that the model predicts; costs nothing without one."""
    watcher, kind = _WATCHER.get(), getattr(sampler, "kind", None)
    if watcher and kind:
        watcher(lambda: to_eps_x0(kind, prediction, noised, step.level.to(noised.device))[1])


def colours(latents: Tensor, frames: Tensor) -> Tensor:
    """The linear map (C + 1, 3) from latents (F, C, h, w) to the colours of their frames (F, 3, H, W) in [0, 1].

    >>> latents = torch.rand(1, 2, 4, 4)
    >>> frames = torch.cat([latents, latents[:, :1]], 1)
    >>> bool(torch.allclose(colours(latents, frames)[:2, 0], torch.tensor([1.0, 0.0]), atol=0.1))
    True
    """
    small = torch.nn.functional.interpolate(frames.to(latents), latents.shape[-2:], mode="area")
    x, y = _columns(latents), small.movedim(1, -1).flatten(0, -2)  # (n, C + 1), (n, 3)
    return torch.linalg.solve(x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1], device=x.device), x.T @ y)


def picture(latents: Tensor, weights: Tensor, most: int = MOST) -> np.ndarray:
    """Frames of clean latents (C, F, h, w), evenly spread, side by side: (h, n w, 3) uint8."""
    chosen = _some(latents, most).float()  # (n, C, h, w)
    n, _, h, w = chosen.shape
    return _side_by_side((_columns(chosen) @ weights.to(chosen)).reshape(n, h, w, 3))  # (n, h, w, 3) given


def decoded(latents: Tensor, decoder: Decoder, most: int = MOST) -> np.ndarray:
    """The same by a decoder, a frame at a time: (H, n W, 3) uint8."""
    frames = [decoder(frame[None]) for frame in _some(latents, most)]
    return _side_by_side(torch.cat(frames).movedim(1, -1))  # (n, H, W, 3) given


def _some(latents: Tensor, most: int) -> Tensor:
    """Up to `most` frames of (C, F, h, w), evenly spread: (n, C, h, w)."""
    picks = np.unique(np.linspace(0, latents.shape[1] - 1, min(most, latents.shape[1])).round().astype(int))
    return latents[:, picks].movedim(1, 0)


def _side_by_side(rgb: Tensor) -> np.ndarray:
    """(n, H, W, 3) in [0, 1] to one picture (H, n W, 3) uint8."""
    seen = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return np.concatenate(list(seen), axis=1)


def _columns(latents: Tensor) -> Tensor:
    """(F, C, h, w) as (F h w, C + 1), the last column ones."""
    flat = latents.float().movedim(1, -1).flatten(0, -2)  # (F h w, C)
    return torch.cat([flat, torch.ones_like(flat[:, :1])], dim=1)


def watcher_of(
    backbone: VideoBackbone,
    frames: np.ndarray,
    show: Callable[[np.ndarray], None],
    every: float,
    find: Callable[[VideoBackbone], Decoder | None] = quick_decoder,
) -> Watcher:
    """A watcher that shows a picture at most every `every` seconds; draws no random number and changes no tensor.

    Args:
        frames: (F, H, W, 3) uint8 at the working size: what the colours of this backbone's latents are fitted to, once,
            when the first picture is made.
        show: gets (h, n w, 3) uint8, or (H, n W, 3) of a decoder.
        find: the backbone's small decoder, if there is one; asked when the first picture is made.
    """
    painter: _Painter | None = None
    last = float("-inf")

    @torch.no_grad()
    def watch(clean: Callable[[], Tensor]) -> None:
        nonlocal painter, last
        if time.monotonic() - last < every:
            return
        painter = painter or _Painter(backbone, frames, find(backbone))
        show(painter(clean()[0]))
        last = time.monotonic()

    return watch


class _Painter:
    """Pictures of clean latents (C, F, h, w), by the decoder while there is room for it, else by the linear map."""

    def __init__(self, backbone: VideoBackbone, frames: np.ndarray, decoder: Decoder | None) -> None:
        self.backbone, self.frames, self.decoder = backbone, frames, decoder
        self.weights: Tensor | None = None

    def __call__(self, latents: Tensor) -> np.ndarray:
        if self.decoder is not None:
            try:
                return decoded(latents, self.decoder)
            except torch.OutOfMemoryError:  # the card is full of what is being made, which no look is worth
                self.decoder = None
        if self.weights is None:
            known = torch.from_numpy(self.frames).movedim(-1, 1).float() / 255  # (F, 3, H, W)
            self.weights = colours(self.backbone.encode(known), known)
        return picture(latents, self.weights)
