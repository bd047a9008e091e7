"""From the keypoints of two clips to the flow and the warped clip Z_WI (AnaMoDiff sections 3.2 and 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from motionkit.diffusion.warp import identity_grid, resize_grid, warp
from motionkit.errors import UserError

from .adapt import best_start, relative, smooth
from .config import AdaptConfig
from .keypoints import Keypoints
from .lofnet import LOFNet

CHUNK = 8  # frames in one pass of the flow network


@dataclass(frozen=True)
class Analogy:
    """The driving motion on the source's body.

    Attributes:
        source: keypoints of the S source frames.
        adapted: keypoints of the T frames to make.
        pick: (T,) which source frame each of them is warped from.
        reference: the driving frame at which the source stands still, or -1 when there is none.
        mirrored: whether the source has to be mirrored first; `source` already is.
        cost: how badly the start poses agree, None when none were compared.
        mode: the reference mode that was taken.
    """

    source: Keypoints
    adapted: Keypoints
    pick: Tensor
    reference: int
    mirrored: bool
    cost: float | None
    mode: str


def find_analogy(
    source: Keypoints,
    driving: Keypoints,
    config: AdaptConfig,
    source_frame: str = "0",
    mirrored_source: Keypoints | None = None,
) -> Analogy:
    """Adapt the driving keypoints to the source, and choose what to warp.

    Args:
        source, driving: keypoints of the two clips.
        config: with every value filled in.
        source_frame: a number, "auto" (the frame from which the way to all poses is shortest, or the best start) or
            "nearest" (for each output frame the source frame in the nearest pose).
        mirrored_source: keypoints of the mirrored source clip, to be tried in mode auto.
    """
    mode = "absolute" if config.mode == "absolute" else config.reference
    if mode == "best":
        mode = "mean" if len(source) >= 4 else "auto"
    fixed = int(source_frame) if source_frame.isdigit() else None
    first, reference, mirrored, cost = fixed or 0, -1, False, None
    if mode == "auto":
        tried = mirrored_source.value if mirrored_source is not None else None
        start = best_start(source.value, driving.value, tried, only=fixed)
        first, reference, mirrored, cost = start.source, start.driving, start.mirrored, start.cost
        source = mirrored_source if mirrored and mirrored_source is not None else source
    elif mode == "first" or mode.isdigit():
        reference = 0 if mode == "first" else int(mode)
    if mode == "absolute":
        adapted = driving
    elif mode == "mean":
        adapted = relative(driving, driving.mean(), source.mean(), config.scale)
    else:
        adapted = relative(driving, driving[reference], source[first], config.scale)
    adapted = smooth(adapted, config.smooth)
    pick = _pick(source, adapted, source_frame, first, reference)
    if bool((pick != first).any()) or config.smooth:
        reference = -1
    return Analogy(source, adapted, pick, reference, mirrored, cost, mode)


def _pick(source: Keypoints, adapted: Keypoints, source_frame: str, first: int, reference: int) -> Tensor:
    """The source frame for each output frame, (T,)."""
    distance = (adapted.value[:, None] - source.value[None]).square().sum((-1, -2))  # (T,S)
    if source_frame == "nearest":
        return distance.argmin(1)
    if source_frame == "auto" and reference < 0:
        first = int(distance.sum(0).argmin())
    return torch.full((len(adapted),), first)


def check_frames(config: AdaptConfig, source_frame: str, source: int, driving: int) -> None:
    """Refuse frame numbers that the clips do not have.

    Raises:
        UserError: names the setting and the number of frames.
    """
    if source_frame.isdigit() and int(source_frame) >= source:
        raise UserError(f"method.source_frame={source_frame}: the reference has {source} frames, counted from 0")
    reference = config.reference
    if config.mode == "relative" and reference.isdigit() and int(reference) >= driving:
        raise UserError(f"method.adapt.reference={reference}: the driving clip has {driving} frames, counted from 0")


@torch.no_grad()
def flow_of(network: LOFNet, latents: Tensor, analogy: Analogy) -> tuple[Tensor, Tensor | None]:
    """Backward grids (T, h, w, 2) from the source frames to the adapted poses, and visibility (T, 1, h, w) or None.

    Args:
        latents: (S, C, h, w) of the source clip.
    """
    flows, seen = [], []
    device = next(network.parameters()).device
    for part in torch.arange(len(analogy.pick)).split(CHUNK):
        picks = analogy.pick[part]
        poses = (x.map(lambda t: t.to(device)) for x in (analogy.adapted[part], analogy.source[picks]))
        moved = network(latents[picks].to(device), *poses)
        flows.append(moved.flow.cpu())
        if moved.occlusion is not None:
            seen.append(moved.occlusion.cpu())
    return torch.cat(flows), torch.cat(seen) if seen else None


def to_pixels(flow: Tensor, factor: int) -> Tensor:
    """A latent flow (T, h, w, 2) for the picture (T, h * factor, w * factor, 2).

    A latent cell covers factor x factor pixels, so its centre is not on a pixel centre, and -1 to 1 spans slightly
    different lengths: displacements are carried over in pixels.
    """
    height, width = flow.shape[1:3]
    span = torch.tensor([_span(width, factor), _span(height, factor)]).to(flow)
    still = identity_grid(height, width).to(flow)
    return resize_grid(still + (flow - still) * span, height * factor, width * factor)


def _span(cells: int, factor: int) -> float:
    return (cells - 1) * factor / max(cells * factor - 1, 1)


def warp_source(source: Tensor, pick: Tensor, flow: Tensor) -> Tensor:
    """Source frames or latents (S, C, h, w), one for each grid of `flow` (T, h, w, 2), moved; borders are repeated."""
    return warp(source[pick], flow.to(source), padding="border")
