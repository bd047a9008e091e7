"""The memory plan of a run, from what was asked for and what this machine has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from motionkit.backbones import catalog
from motionkit.settings.config import typed

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan
    from motionkit.settings.need import Need


def plan_for(gpu: Any, backbone: str | None = None, need: Need | None = None) -> Plan:
    """The memory plan for a name of conf/gpu, a mapping of its settings, or a finished `Plan`, on this machine.

    Args:
        need: of the run, where it is known: what is held back follows from it.

    Raises:
        UserError: an unknown setting, or one that this machine or backbone would ignore.
    """
    from motionkit.settings.gpu import GpuConfig, Plan, detect, resolve

    if isinstance(gpu, Plan):
        return gpu
    settings = typed(GpuConfig, {"name": gpu} if isinstance(gpu, str) else gpu, "gpu.")
    return resolve(settings, detect(settings.device), catalog.get(backbone) if backbone else None, need)
