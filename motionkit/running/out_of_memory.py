"""A card that is full, as one line: the stage, what was asked for, what was free, and the next setting to try."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan

_ASKED = re.compile(r"[Tt]ried to allocate ([\d.]+ ?\w+)")
_FREE = re.compile(r"of which ([\d.]+ ?\w+) is free")
_ON_CPU = "not enough memory: you tried to allocate"


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory is full: torch's own for cards, or its allocator's for the CPU."""
    return type(error).__name__ == "OutOfMemoryError" or (isinstance(error, RuntimeError) and _ON_CPU in str(error))


def explained(error: BaseException, stage: str, plan: Plan, settings: Any, frames: int, shorter: str = "") -> UserError:
    """The line for a stage that found no room.

    Args:
        settings: the method's.
        shorter: a key that shortens the clip of the stage, where it is not frames.
    """
    text = str(error)
    asked, free = _ASKED.search(text), _FREE.search(text)
    told = f"{asked[1]} more were asked for" if asked else "more was asked for"
    told += f", {free[1]} were free" if free else ""
    kept = "" if stage == "prepare" else "; finished steps are kept, so the run resumes after them"
    what = next_setting(stage, plan, settings, frames, shorter)
    return UserError(f"{plan.device} is full in the step {stage!r}: {told}. Nothing was written; try {what}{kept}")


def next_setting(stage: str, plan: Plan, settings: Any, frames: int, shorter: str = "") -> str:
    """What to change next, as it is typed: the switch that costs least of those that are still off."""
    if plan.device.startswith("cuda"):
        if not plan.vae_slicing:
            return "gpu.vae_slicing=true"
        if plan.offload == "none":
            return "gpu.offload=model"
        if stage == "generate" and getattr(getattr(settings, "sample", None), "batched", "off") != "off":
            return "method.sample.batched=off"
        if not plan.checkpointing:
            return "gpu.checkpointing=true"
        if not plan.vae_tiling:
            return "gpu.vae_tiling=true"
    return f"a smaller size, {shorter or f'frames={max(1, frames * 3 // 4)}'} or another machine"
