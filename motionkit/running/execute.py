"""The call of version 0.1: one method on one set of inputs, with everything else as keywords."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from motionkit.context import Progress
from motionkit.running import request as requests
from motionkit.running.choices import BackboneChoice
from motionkit.running.request import Request
from motionkit.running.request import plan_for as plan_for
from motionkit.transfer import Inputs, MethodSpec, Result

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan

_CHOICE = {
    "backbone": "name",
    "backbone_path": "path",
    "online": "online",
    "motion": "motion",
    "lora": "lora",
    "parts": "parts",
}


def execute(
    method: MethodSpec | str,
    inputs: Inputs,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = requests.silent,
    announce: Callable[[Plan], None] = requests.silent,
    **keywords: Any,
) -> Result:
    """Run one method on one request.

    Everything that can be refused is refused before weights load; nothing appears under its final name until it is
    whole. When the run is cancelled or fails, its folder holds a manifest that says so, and no video.

    Args:
        say: gets a line for each thing that a user should know of how the clips were resized and the result written.
        announce: gets the memory plan once nothing is left to refuse before weights load.
        keywords: the fields of `motionkit.running.request.Request`, where `backbone` is a name (None: the method's
            default), and the rest of its choice as `backbone_path`, `online`, `motion` and `lora`.

    Raises:
        UserError: anything that the user can fix, in one line.
        Cancelled: `progress` asked for it.
    """
    return requests.execute(request_of(method, inputs, **keywords), progress, say, announce)


def request_of(method: MethodSpec | str, inputs: Inputs, **keywords: Any) -> Request:
    """The request that keywords of version 0.1 stand for; raises TypeError for an unknown one."""
    choice = BackboneChoice(**{field: keywords.pop(key) for key, field in _CHOICE.items() if key in keywords})
    return Request(method, inputs, backbone=choice, **keywords)
