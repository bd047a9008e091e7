"""What a run needs of a card, from counted figures, and the cheapest switches under which it fits; pure, no torch.

A figure is linear in F P in bytes, and a sum of F P, F P^2 and F^2 P in operations, for F frames of P latent places: it
comes from passes at real size (`motionkit.running.count`). Weights, and what is alive beside them at the worst moment,
add up to the peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol

GIB = 2**30
# Of a card of N GiB: the driver's and torch's own share, the display's, and what the allocator cannot use.
_TAKEN_SHARE, _TAKEN_GIB = 0.03, 0.56
# Effective rates in half precision, TFLOP/s: what such networks reach on usual cards of a size, about two fifths of the
# data sheet's. They are assumptions, said wherever seconds are.
RATES = ((10.0, 20.0), (14.0, 25.0), (20.0, 40.0), (30.0, 70.0), (44.0, 120.0), (float("inf"), 250.0))
_MOVED = 10 * GIB  # bytes a second between the memories of CPU and GPU
_SPARE = 0.1  # of a peak, by which counts may be too low
_SLICE, _SLICES = 512 * 512, 8  # pixels that pass the autoencoder at a time: sliced, and how many times that


class Switches(Protocol):
    """The part of a memory plan that decides what a run needs."""

    @property
    def vae_slicing(self) -> bool:
        """Whether few frames pass the autoencoder at a time."""

    @property
    def vae_tiling(self) -> bool:
        """Whether frames pass it in tiles."""

    @property
    def offload(self) -> str:
        """What waits in the CPU's memory: none, model or group."""

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed twice."""

    @property
    def batched(self) -> bool:
        """Whether both halves of guidance pass the network in one call."""


@dataclass(frozen=True)
class Choice:
    """Switches of one plan, cheapest first in time: nothing held back."""

    vae_slicing: bool = False
    vae_tiling: bool = False
    offload: str = "none"
    checkpointing: bool = False
    batched: bool = True


@dataclass(frozen=True)
class Row:
    """A fitted figure: `size` of 1 and F P in bytes; `work` of F P, F P^2 and F^2 P in operations."""

    size: tuple[float, float]
    work: tuple[float, float, float]

    def bytes(self, frames: float, places: float) -> float:
        """Alive beside the backbone's weights, for a clip of so many frames of so many latent places."""
        return self.size[0] + self.size[1] * frames * places

    def flops(self, frames: float, places: float) -> float:
        """Operations of one call."""
        plain, space, time = self.work
        return frames * places * (plain + space * places + time * frames)


@dataclass(frozen=True)
class Work:
    """One kind of call in a run (see `motionkit.transfer.Demand`).

    Attributes:
        row: its figure.  again: the same with checkpointing, where it makes a difference.
        pixels: of one frame.  places: latent places of one frame.
    """

    stage: str
    what: str
    calls: int
    frames: int
    places: int
    row: Row
    again: Row | None = None
    clips: int = 1
    guided: bool = False
    part: str = "unet"
    smaller: str = ""
    pixels: int = 0
    tile: int = 0  # latent places of a tile, of the autoencoder
    halves: str = "auto"  # on or off where settings decide that both halves of guidance go together, or do not

    def _figure(self, how: Switches) -> Row:
        return self.again if self.again is not None and how.checkpointing else self.row

    def _passing(self, how: Switches) -> tuple[float, float]:
        """Frames and latent places that pass at once."""
        if self.part == "vae":
            at_once = max(1, _SLICE * (1 if how.vae_slicing else _SLICES) // max(self.pixels, 1))
            places = min(self.places, self.tile) if how.vae_tiling and self.tile else self.places
            return min(self.frames, at_once), places
        side = self.clips * (2 if self.guided and self._together(how) else 1)
        return self.frames * side, self.places

    def bytes(self, how: Switches) -> float:
        """Alive beside the weights at the worst moment."""
        return max(0.0, self._figure(how).bytes(*self._passing(how)))

    def passes(self, how: Switches) -> int:
        """How often the network is called in the whole run."""
        return self.calls * (2 if self.guided and not self._together(how) else 1)

    def _together(self, how: Switches) -> bool:
        return how.batched if self.halves == "auto" else self.halves == "on"

    def flops(self, how: Switches) -> float:
        """Operations in the whole run."""
        each = self._figure(how).flops(self.frames, self.places)
        return self.calls * self.clips * (2 if self.guided else 1) * each


@dataclass(frozen=True)
class Peak:
    """The worst moment of a stage: which call, and the bytes alive on the card."""

    stage: str
    what: str
    bytes: float
    work: Work

    @property
    def gib(self) -> float:
        """The same in GiB."""
        return self.bytes / GIB


@dataclass(frozen=True)
class Need:
    """All that a run computes, and the weights that it computes with.

    Attributes:
        weights: part -> bytes in half precision.  title: what it is of, such as "vidmp3 on sdxl, 1024 px, 16 frames".
        dtype: that weights and arithmetic are in.  upcast: parts that stay in float32 where that is float16.
    """

    title: str
    works: tuple[Work, ...]
    weights: Mapping[str, float]
    dtype: str = "bfloat16"
    upcast: tuple[str, ...] = ()

    def width(self, part: str) -> float:
        """How many times as wide as half precision a part's numbers are; 2 in float32."""
        return 2.0 if self.dtype == "float32" or (self.dtype == "float16" and part in self.upcast) else 1.0

    def _held(self, part: str) -> float:
        """Bytes of a part's weights."""
        return self.width(part) * self.weights[part]

    def resident(self, how: Switches, part: str) -> float:
        """Bytes of weights on the card while a part computes."""
        if how.offload == "none":
            return sum(map(self._held, self.weights))
        one = self._held(part if part in self.weights else "unet")
        return one if how.offload == "model" else one / 20

    def peaks(self, how: Switches) -> list[Peak]:
        """The worst moment of each stage, in their order."""
        worst: dict[str, Peak] = {}
        for work in self.works:
            size = self.resident(how, work.part) + self.width(work.part) * work.bytes(how)
            if work.stage not in worst or size > worst[work.stage].bytes:
                worst[work.stage] = Peak(work.stage, work.what, size, work)
        return [worst[name] for name in ("prepare", "fit", "generate") if name in worst]

    def peak(self, how: Switches) -> Peak:
        """The worst moment of the run."""
        return max(self.peaks(how), key=lambda peak: peak.bytes)

    def tflop(self, how: Switches, stage: str = "") -> float:
        """Operations of a stage, or of all, in units of 10^12."""
        return sum(work.flops(how) for work in self.works if stage in ("", work.stage)) / 1e12

    def seconds(self, how: Switches, rate: float, stage: str = "") -> float:
        """Time at `rate` TFLOP/s in half precision, with the parts that come and go where they are offloaded.

        In float32 the rate counts as half. Layers that come and go do so in each call of the network: twice a step
        where the halves of guidance go one after the other.
        """
        moved = 0.0
        if how.offload == "model":
            moved = 2 * sum(map(self._held, self.weights))
        elif how.offload == "group":
            moved = self._held("unet") * sum(work.passes(how) for work in self.works if work.part == "unet")
        share = self.tflop(how, stage) / max(self.tflop(how), 1e-9)
        works = (work for work in self.works if stage in ("", work.stage))
        computed = sum(self.width(work.part) * work.flops(how) for work in works) / 1e12
        return computed / rate + share * moved / _MOVED

    @property
    def tunes(self) -> bool:
        """Whether something is tuned, or gradients are taken."""
        return any(work.again is not None for work in self.works)


def free_bytes(vram_gb: float) -> float:
    """What a run may use of a card of so many GiB: 7.2 of 8."""
    return ((1 - _TAKEN_SHARE) * vram_gb - _TAKEN_GIB) * GIB


def spare_bytes(need: Need, how: Switches, vram_gb: float) -> float:
    """What a card has left beyond all that a run is counted to need, and a tenth of that, by which counts may err."""
    return max(0.0, free_bytes(vram_gb) - (1 + _SPARE) * need.peak(how).bytes)


def rate_of(vram_gb: float) -> float:
    """The effective TFLOP/s that seconds are stated at, for a card of that size."""
    return next(rate for limit, rate in RATES if vram_gb < limit)


def candidates(need: Need, fixed: Mapping[str, Any]) -> Iterator[Choice]:
    """Choices from the quickest to the leanest, each with what the user fixed as it is.

    Slices of frames cost next to nothing, halves of guidance one after the other a little, parts that wait in the CPU's
    memory some seconds, checkpointing a third of the tuning; tiles change pixels at their seams, and single layers that
    come and go take longest and cannot be tuned.
    """
    layers, twice = ((), (False, True)) if need.tunes else (("group",), (False,))
    ways = product((False, True), ("none", "model", *layers), twice, ((True, False), (True, True), (False, True)))
    known = {k: v for k, v in fixed.items() if k in Choice.__dataclass_fields__}
    choices = (
        replace(Choice(slicing, tiling, offload, again, batched), **known)
        for tiling, offload, again, (batched, slicing) in sorted(ways, key=_cost)
    )
    yield from dict.fromkeys(choices)


def _cost(way: tuple[bool, str, bool, tuple[bool, bool]]) -> tuple[int, ...]:
    tiling, offload, again, (batched, slicing) = way
    return (offload == "group", tiling, again, offload == "model", not batched, slicing)


def choose(need: Need, vram_gb: float, fixed: Mapping[str, Any]) -> tuple[Choice, bool]:
    """The first choice that fits a card, and True; where none does the leanest, and False.

    Of choices that are as lean to the mebibyte it is the quickest: nothing is held back that gains nothing.
    """
    ways, free = list(candidates(need, fixed)), free_bytes(vram_gb)
    for choice in ways:
        if need.peak(choice).bytes <= free:
            return choice, True
    sizes = [round(need.peak(choice).bytes / 2**20) for choice in ways]
    return ways[sizes.index(min(sizes))], False
