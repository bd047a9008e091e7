"""Whether the facts of a declared part, as another package may declare it, are of the types that its class names."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any


def misfit(part: Any, kind: type) -> str:
    """The first fact of a part that is not of its type, in words; "" where all are.

    Args:
        kind: the dataclass whose fields say the types; a class that is none says nothing.
    """
    hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
    for name, hint in hints.items():
        value = getattr(part, name, None)
        if not fits(value, hint):
            return f"{name}={value!r} is not {getattr(hint, '__name__', None) if isinstance(hint, type) else hint}"
    return ""


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; a list counts as a tuple, and a kind of type that is not known here as fitting.

    >>> fits(["a"], tuple[str, ...]), fits("a", tuple[str, ...]), fits({"a": 1}, Mapping[str, str])
    (True, False, False)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, kind) for kind in inner)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return len(kinds) == len(value) and all(map(fits, value, kinds))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if origin is Callable or hint is Callable:
        return callable(value)
    if hint in (int, float):
        return not isinstance(value, bool) and isinstance(value, int if hint is int else int | float)
    return isinstance(value, hint) if isinstance(hint, type) else True
