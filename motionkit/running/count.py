"""Counts what calls take, on networks of real size without weights: single figures, and rows of the shipped table.

A row comes from a pass at the backbone's own size, and where something is tuned from a smaller one too: bytes are a
line, operations are told apart by kind. What a pass cannot show is in `docs/gpu.md`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.backbones.pretend.build import shape_of
from motionkit.backbones.pretend.device import world
from motionkit.context import RunContext
from motionkit.running.needs import SIZED
from motionkit.settings.gpu import DeviceFacts, GpuConfig, Plan, resolve
from motionkit.transfer import Demand

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.pretend.meter import Meter


@dataclass(frozen=True)
class Figure:
    """One counted call.

    Attributes:
        start, extra: bytes alive beside the backbone's weights as the call begins, and at the worst moment.
        flops: operations; space, time: those of attention within frames and along time.
        written: bytes of results.  calls: operations of torch.  weights: bytes of the backbone's weights.
    """

    start: int
    extra: int
    flops: int
    space: int
    time: int
    written: int
    calls: int
    weights: int


def plan_on(backbone: str, device: str = "cuda", checkpointing: bool = False) -> Plan:
    """A plan on a pretended card that holds nothing back; on the CPU its own."""
    if device == "cpu":
        return Plan(checkpointing=checkpointing)
    facts = DeviceFacts(cuda=True, name="a pretended card", vram_gb=1000, bf16=True)
    settings = GpuConfig(name="80gb", vae_slicing=True, checkpointing=checkpointing, offload="none")
    return resolve(settings, facts, catalog.get(backbone))


class Counter:
    """A backbone of real size in a world of its own, in which calls are counted; use it as a context.

    Raises:
        UserError: this machine cannot pretend (see `motionkit.backbones.pretend.device.world`).
    """

    def __init__(self, backbone: str, plan: Plan) -> None:
        self.spec, self.plan = catalog.get(backbone), plan
        self._world: Any = None

    def __enter__(self) -> Counter:
        self._world = world(self.plan.device)
        self.meter: Meter = self._world.__enter__()
        self.backbone: VideoBackbone = shape_of(self.spec, self.plan)
        self.weights = self.meter.live
        return self

    def __exit__(self, *error: Any) -> None:
        del self.backbone  # its tensors end with the world that they are of
        gc.collect()
        self._world.__exit__(*error)

    def figure(self, demand: Demand, settings: Any, height: int, width: int, frames: int, clips: int = 1) -> Figure:
        """One call; what has to be built for it stays alive beside it, how that was built does not count."""
        gc.collect()
        self.meter.frames = frames
        run = RunContext(0, frames, height, width, 8.0, self.plan, Path())
        call = registry.load_object(demand.once)(self.backbone, settings, run, clips)
        start = self.meter.live - self.weights
        with self.meter.count() as found:
            kept = call()
        del kept, call
        gc.collect()
        work = (found.flops, found.space, found.time, found.written, found.calls)
        return Figure(start, found.peak - self.weights, *work, self.weights)


def encode_once(backbone: VideoBackbone, settings: Any, run: RunContext, clips: int) -> Callable[[], Any]:
    """All frames at once through the autoencoder, to latents."""
    return _autoencoder(backbone, run, "encode")


def decode_once(backbone: VideoBackbone, settings: Any, run: RunContext, clips: int) -> Callable[[], Any]:
    """All frames at once through the autoencoder, to pictures."""
    return _autoencoder(backbone, run, "decode")


def _autoencoder(backbone: VideoBackbone, run: RunContext, way: str) -> Callable[[], Any]:
    import torch

    channels, frames, height, width = backbone.latent_shape(run.frames, run.height, run.width)
    shape = (frames, channels, height, width) if way == "decode" else (frames, 3, run.height, run.width)
    clip = torch.zeros(shape)

    def call() -> Any:
        plan = backbone.plan
        backbone.plan = _Whole(plan)  # type: ignore[assignment]
        try:
            return getattr(backbone, way)(clip)
        finally:
            backbone.plan = plan

    return call


class _Whole:
    """A plan under which every frame passes the autoencoder at once."""

    chunk_pixels = 2**62

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plan, name)


Point = tuple[int, int, int, Figure]  # frames, height, width


def fit(point: Point, start: float, factor: int) -> dict[str, list[float]]:
    """A row of the table: bytes as a line in F P from `start`, operations as F P, F P^2 and F^2 P."""
    frames, height, width, found = point
    places = (height // factor) * (width // factor)
    load = frames * places
    plain = found.flops - found.space - found.time
    work = [plain / load, found.space / load / places, found.time / load / frames]
    return {"size": _rounded([start, (found.extra - start) / load]), "work": _rounded(work)}


def _start(small: Point, large: Point) -> float:
    """Where the line through both begins: what is alive whatever the clip's size."""
    loads = [frames * height * width for frames, height, width, _ in (small, large)]
    slope = (large[3].extra - small[3].extra) / (loads[1] - loads[0])
    return max(0.0, large[3].extra - slope * loads[1])


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def sizes_of(backbone: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) of the two passes of a row: about half of the backbone's own frame a side, and that frame."""
    spec = catalog.get(backbone)
    step = max(spec.size_multiple, 64 if spec.default_size > 128 else 16)
    height, width = spec.default_frame
    return (max(step, height // 2 // step * step), max(step, width // 2 // step * step)), (height, width)


Size = tuple[int, int]


def row(
    counter: Counter,
    demand: Demand,
    settings: Any,
    before: Mapping[str, Any] | None = None,
    frames: tuple[int, int] = (8, 16),
    sizes: tuple[Size, Size] | None = None,
) -> dict[str, list[float]]:
    """The figure of a demand: a large pass, and another where the start of the line is not known.

    That is a small one of what is tuned, and one of both halves of guidance: layers that take their tokens in parts do
    not grow as the clip does.

    Args:
        before: the row of the same demand without checkpointing, which begins as high.
    """
    small, large = sizes or sizes_of(counter.spec.name)
    found = counter.figure(demand, settings, *large, frames[1])
    if demand.part not in SIZED:
        return fit((frames[1], 1, 1, found), found.extra, 1)
    start = before["size"][0] if before else found.start
    if before is None and demand.tunes:
        less = counter.figure(demand, settings, *small, frames[0])
        start = _start((frames[0], *small, less), (frames[1], *large, found))
    elif demand.guided:
        start = max(0.0, 2.0 * found.extra - counter.figure(demand, settings, *large, frames[1], clips=2).extra)
    return fit((frames[1], *large, found), start, counter.backbone.factor)
