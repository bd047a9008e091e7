"""Before a run: what its stages need of a card, in a line or a table, and the nearest setting that would fit; no torch.

Figures are computed and not measured (`motionkit.running.count`); seconds stand at a stated rate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.running.choices import method_settings
from motionkit.running.needs import need_of
from motionkit.settings.need import GIB, Choice, Need, Switches, choose, free_bytes, rate_of

if TYPE_CHECKING:
    from motionkit.running.choices import Chosen
    from motionkit.settings.gpu import Plan
    from motionkit.transfer import MethodSpec

_TRIES = 50  # shorter clips of which it is asked what they need
CARDS = (8, 12, 16, 24, 32, 40, 48, 80, 96, 141, 192)


@dataclass(frozen=True)
class Asked:
    """A run that may be made smaller: its size and what shortens its clips.

    Attributes:
        make: (frames, height, width, other settings by key) -> what that needs.
        step: of both sides in pixels.
        own: values now of settings that shorten a clip, such as method.lora.clip_frames.
    """

    make: Callable[[int, int, int, dict[str, int]], Need | None]
    frames: int
    height: int
    width: int
    step: int
    own: dict[str, int]


def asked_for(
    spec: MethodSpec,
    backbone: str,
    frames: int,
    size: tuple[int, int],
    given: Mapping[str, Any] | None = None,
    count: Callable[..., Need | None] = need_of,
) -> tuple[Need | None, Asked]:
    """What a run needs, and what it would need were it smaller.

    Args:
        given: the method's settings that differ from its defaults.
        count: makes a need of method, settings, backbone, frames, height and width.
    """

    def make(frames: int, height: int, width: int, own: dict[str, int]) -> Need | None:
        tree: dict[str, Any] = copy.deepcopy(dict(given or {}))
        for key, value in own.items():
            put(tree, key.removeprefix("method."), value)
        return count(spec, method_settings(spec, tree), backbone, frames, height, width)

    need = make(frames, *size, {})
    own = {work.smaller: work.frames for work in need.works if work.smaller.startswith("method.")} if need else {}
    return need, Asked(make, frames, *size, catalog.get(backbone).size_multiple, own)


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """A value under a dotted key of a nested table. Raises: UserError where a key above has a value of its own."""
    *above, last = key.split(".")
    for name in above:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise UserError(f"{key}: {name} has a value of its own already; leave one of them out")
    tree[last] = value


def line(need: Need, plan: Switches, vram_gb: float) -> str:
    """One line of what a run needs under a plan: the worst moment, operations, and time at the stated rate."""
    worst, rate = need.peak(plan), rate_of(vram_gb)
    seconds = need.seconds(plan, rate)
    return (
        f"computed, not measured: at most {worst.gib:.1f} of {free_bytes(vram_gb) / GIB:.1f} GiB (the {worst.what}); "
        f"{need.tflop(plan):,.0f} TFLOP, about {in_time(seconds)} at {rate:g} TFLOP/s"
    )


def run_line(need: Need | None, plan: Plan, gpu: Any) -> str | None:
    """The line for a plan on this machine's card; None where there is no card, or nothing is known of the run.

    Args:
        gpu: what the plan was asked for with, as of `plan_for`; auto counts with the whole card, whatever the tier.
    """
    from motionkit.settings.gpu import detect, gigabytes

    if need is None or not plan.device.startswith("cuda"):
        return None
    card = detect(plan.device).vram_gb
    return line(replace(need, dtype=plan.dtype), as_choice(plan), min(card, gigabytes(_name(gpu)) or card))


def _name(gpu: Any) -> str:
    """The name in settings of the gpu group: a text, a mapping, or settings that are made."""
    if isinstance(gpu, str):
        return gpu
    return str((gpu.get("name") if isinstance(gpu, Mapping) else gpu.name) or "auto")


Row = tuple[str, "Chosen", int, int, int]  # label, what was chosen, frames, height, width


def before(rows: Sequence[Row], gpu: Any) -> list[str]:
    """A line for each row of a table that runs on a card and of which it is known what it needs."""
    from motionkit.running.memory import plan_for

    lines: list[str] = []
    if not rows or not plan_for(gpu).device.startswith("cuda"):
        return lines
    for label, chosen, frames, height, width in rows:
        need = need_of(chosen.spec, chosen.settings, chosen.backbone.name, frames, height, width)
        plan = plan_for(gpu, chosen.backbone.name, need)
        if said := run_line(need, plan, gpu):
            lines.append(f"  {label}: {said} ({switches(as_choice(plan))})")
    return lines


def in_time(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3.2 h"."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def switches(choice: Switches) -> str:
    """What a choice holds back, as it is typed; "nothing held back"."""
    said = [f"gpu.offload={choice.offload}"] * (choice.offload != "none")
    said += ["gpu.checkpointing=true"] * choice.checkpointing
    said += ["gpu.vae_slicing=true"] * choice.vae_slicing + ["gpu.vae_tiling=true"] * choice.vae_tiling
    said += ["guidance in two calls"] * (not choice.batched)
    return ", ".join(said) or "nothing held back"


def nearest(asked: Asked, vram_gb: float, fixed: dict[str, Any] | None = None, dtype: str = "bfloat16") -> str:
    """The nearest setting that fits a card in that type: a shorter clip, a smaller picture, both; or a larger card."""
    asked = replace(asked, make=_typed(asked.make, dtype))
    for said, need in _smaller(asked, vram_gb, fixed or {}):
        if need is not None and choose(need, vram_gb, fixed or {})[1]:
            return said
    whole = asked.make(asked.frames, asked.height, asked.width, {})
    larger = [n for n in CARDS if n > vram_gb and whole is not None and choose(whole, n, fixed or {})[1]]
    return f"gpu={larger[0]}gb" if larger else "no card of one piece"


def _typed(make: Callable[..., Need | None], dtype: str) -> Callable[..., Need | None]:
    """The same, with what it makes in that type."""
    return lambda *how: replace(need, dtype=dtype) if (need := make(*how)) else None


def _smaller(asked: Asked, vram_gb: float, fixed: dict[str, Any]) -> Iterator[tuple[str, Need | None]]:
    """What could be tried, the least change first."""
    frames, height, width = asked.frames, asked.height, asked.width
    whole = asked.make(frames, height, width, {})
    if whole is None:
        return
    key = whole.peak(choose(whole, vram_gb, fixed)[0]).work.smaller
    if key in asked.own:
        for value in _fewer(asked.own[key], 1):
            yield f"{key}={value}", asked.make(frames, height, width, {key: value})
    if key != "size":
        for fewer in _fewer(frames, max(3, frames // 2 - 1)):
            yield f"frames={fewer}", asked.make(fewer, height, width, {})
    for below in range(1, min(height, width) // asked.step):
        small = _scaled(height, width, asked.step, below)
        yield f"size={_size(*small)}", asked.make(frames, *small, {})
    for below in range(1, min(height, width) // asked.step):
        small = _scaled(height, width, asked.step, below)
        fewer = max(4, frames // 2)
        yield f"size={_size(*small)} frames={fewer}", asked.make(fewer, *small, {})


def _fewer(frames: int, above: int) -> range:
    """Lengths from one less on, the longest first: each, or of a long clip about as many as can be tried at once."""
    return range(frames - 1, above, -max(1, (frames - above) // _TRIES))


def _scaled(height: int, width: int, step: int, below: int) -> tuple[int, int]:
    """The shape with its shorter side so many steps smaller."""
    short = min(height, width)
    share = (short - below * step) / short
    return max(step, round(height * share / step) * step), max(step, round(width * share / step) * step)


def _size(height: int, width: int) -> str:
    return str(width) if height == width else f"{width}x{height}"


def stages(need: Need, plan: Choice, vram_gb: float, rate: float) -> list[Sequence[str]]:
    """A row for each stage: name, the worst moment, GiB, TFLOP, time, and whether it fits."""
    free, rows = free_bytes(vram_gb), list[Sequence[str]]()
    for peak in need.peaks(plan):
        seconds = need.seconds(plan, rate, peak.stage)
        fits = "yes" if peak.bytes <= free else "no"
        flops = f"{need.tflop(plan, peak.stage):,.0f}"
        rows.append((peak.stage, peak.what, f"{peak.gib:.1f}", flops, in_time(seconds), fits))
    return rows


def as_choice(plan: Plan) -> Choice:
    """The part of a plan that decides what a run needs."""
    kept = asdict(plan)
    return Choice(kept["vae_slicing"], kept["vae_tiling"], kept["offload"], kept["checkpointing"], plan.batched)
