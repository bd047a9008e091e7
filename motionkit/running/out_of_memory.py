"""A card that is full, as one line: the stage, what was asked for, what was free, and the next setting to try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan
    from motionkit.settings.need import Need, Peak

_ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+ ?\w+)")
_FREE = re.compile(r"of which ([\d.]+ ?\w+) is free")
_ON_CPU = "not enough memory: you tried to allocate"


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory is full: torch's own for cards, or its allocator's for the CPU."""
    return type(error).__name__ == "OutOfMemoryError" or (isinstance(error, RuntimeError) and _ON_CPU in str(error))


def explained(
    error: BaseException, stage: str, plan: Plan, settings: Any, frames: int, need: Need | None = None
) -> UserError:
    """The line for a stage that found no room.

    Args:
        settings: the method's.  need: of the run, where it is known.
    """
    text = str(error)
    asked, free = _ASKED.search(text), _FREE.search(text)
    told = f"{asked[1]} more were asked for" if asked else "more was asked for"
    told += f", {free[1]} were free" if free else ""
    kept = "" if stage == "prepare" else "; finished steps are kept, so the run resumes after them"
    what = next_setting(stage, plan, settings, frames, need)
    return UserError(f"{plan.device} is full in the step {stage!r}: {told}. Nothing was written; try {what}{kept}")


def next_setting(stage: str, plan: Plan, settings: Any, frames: int, need: Need | None = None) -> str:
    """What to change next, as it is typed: of the switches that are still off and lower this stage, the least costly.

    Where the run's need is not known, those that lower such a stage of any method.
    """
    worst = None
    if need is not None:
        need = replace(need, dtype=plan.dtype)
        worst = next((peak for peak in need.peaks(plan) if peak.stage == stage), None)
    if plan.device.startswith("cuda"):
        for said, found, changed in _ways(stage, plan, settings, need):
            if worst is None or _lower(worst, found, changed):
                return said
    shorter = worst.work.smaller if worst else "frames"
    length = worst.work.frames if worst and shorter.startswith("method.") else frames
    key = "" if shorter == "size" else f" {shorter or 'frames'}={max(1, length * 3 // 4)}"
    return f"a smaller size{',' * bool(key)}{key} or another machine"


_Way = tuple[str, "Need | None", "Plan"]  # as it is typed, and the need and plan that follow


def _ways(stage: str, plan: Plan, settings: Any, need: Need | None) -> Iterator[_Way]:
    """The switches that are still off, the least costly first; those that never lower such a stage are left out."""
    if stage != "fit" and not plan.vae_slicing:
        yield "gpu.vae_slicing=true", need, replace(plan, vae_slicing=True)
    if stage == "generate" and getattr(getattr(settings, "sample", None), "batched", "off") != "off":
        works = tuple(replace(work, halves="off") for work in need.works) if need else ()
        yield "method.sample.batched=off", need and replace(need, works=works), replace(plan, guidance="apart")
    if plan.offload == "none":
        yield "gpu.offload=model", need, replace(plan, offload="model")
    if not plan.checkpointing and (stage == "fit" or need is not None):
        yield "gpu.checkpointing=true", need, replace(plan, checkpointing=True)
    if stage != "fit" and not plan.vae_tiling:
        yield "gpu.vae_tiling=true", need, replace(plan, vae_tiling=True)


def _lower(worst: Peak, need: Need | None, plan: Plan) -> bool:
    """Whether the stage's worst moment is lower then, by a hundredth at least."""
    found = next((peak for peak in need.peaks(plan) if peak.stage == worst.stage), None) if need else None
    return found is not None and found.bytes < 0.99 * worst.bytes
