"""motionkit: several motion-transfer methods behind one contract.

    import motionkit
    result = motionkit.load("anamodiff", backbone="pocket-sd")(reference="b.png", driving="a.mp4", prompt="...")
    result.save("out.mp4")

Importing this package imports no torch; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from motionkit import _moved

if TYPE_CHECKING:
    from motionkit.api import load as load
    from motionkit.context import RunContext as RunContext
    from motionkit.errors import Cancelled as Cancelled
    from motionkit.errors import MissingWeights as MissingWeights
    from motionkit.errors import UserError as UserError
    from motionkit.registry import names as method_names  # noqa: F401
    from motionkit.running.execute import execute as execute
    from motionkit.table.calls import bench as bench
    from motionkit.table.calls import compare as compare
    from motionkit.transfer import Inputs as Inputs
    from motionkit.transfer import MethodSpec as MethodSpec
    from motionkit.transfer import Need as Need
    from motionkit.transfer import Requirement as Requirement
    from motionkit.transfer import Result as Result
    from motionkit.transfer import Stage as Stage
    from motionkit.transfer import Transfer as Transfer

__version__ = "0.2.0"
_moved.install()

_PUBLIC = {
    "load": "motionkit.api:load",
    "compare": "motionkit.table.calls:compare",
    "bench": "motionkit.table.calls:bench",
    "method_names": "motionkit.registry:names",
    "execute": "motionkit.running.execute:execute",
    "RunContext": "motionkit.context:RunContext",
    **{name: f"motionkit.errors:{name}" for name in ("UserError", "MissingWeights", "Cancelled")},
    **{
        name: f"motionkit.transfer:{name}"
        for name in ("Inputs", "MethodSpec", "Need", "Requirement", "Result", "Stage", "Transfer")
    },
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'motionkit' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    return _moved.verb(name, found) if name in _moved.VERBS else found


def __dir__() -> list[str]:
    return sorted(__all__)
