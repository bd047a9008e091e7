"""Names to methods: entry points of the group `motionkit.methods`, loaded on use, failures kept apart.

A built-in method is registered exactly as a third party's is: the entry point's value is "package.module:SPEC", a
`MethodSpec` in a module that imports no torch. An entry point that fails to load is kept with its error and breaks
nothing else. MOTIONKIT_DISABLE_PLUGINS=1 leaves only the methods of the motionkit distribution itself.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import traceback
from dataclasses import dataclass
from typing import Any, NamedTuple

from motionkit.errors import UserError, unknown
from motionkit.transfer import MethodSpec, Transfer

GROUP = "motionkit.methods"
OWN = "motionkit"


class Failure(NamedTuple):
    """An entry point that could not be loaded."""

    name: str
    dist: str
    error: str
    traceback: str


@dataclass(frozen=True)
class Registered:
    """A method and the distribution that brought it."""

    spec: MethodSpec
    dist: str


def names() -> list[str]:
    """Every method that can be used, sorted."""
    return sorted(_scan()[0])


def spec(name: str) -> MethodSpec:
    """The facts about a method.

    Raises:
        UserError: no such method (with the nearest name), or its plugin is broken (with its error).
    """
    return registered(name).spec


def registered(name: str) -> Registered:
    """The facts about a method and where it comes from; raises as `spec` does."""
    methods, broken = _scan()
    if name in methods:
        return methods[name]
    for failure in broken:
        if failure.name == name:
            raise UserError(f"method {name!r} of {failure.dist} cannot be loaded: {failure.error}")
    raise unknown("method", name, methods)


def dist_of(spec: MethodSpec) -> str:
    """The distribution and version that brought a method, or "" for one that is not registered."""
    known = _scan()[0].get(spec.name)
    return f"{known.dist} {importlib.metadata.version(known.dist)}" if known and known.spec is spec else ""


def transfer_class(name: str) -> type[Transfer]:
    """Import a method's class, which is what loads torch."""
    return load_object(spec(name).transfer)


def failures() -> list[Failure]:
    """The entry points that could not be loaded."""
    return list(_scan()[1])


def load_object(path: str) -> Any:
    """Import "package.module:attribute".

    Raises:
        UserError: the module or the attribute is not there.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot import {path}: {error}") from error


def plugins_disabled() -> bool:
    """Whether MOTIONKIT_DISABLE_PLUGINS is set."""
    return os.environ.get("MOTIONKIT_DISABLE_PLUGINS", "") not in ("", "0")


def refresh() -> None:
    """Look at the installed distributions again."""
    _scan_once.cache_clear()


def _scan() -> tuple[dict[str, Registered], tuple[Failure, ...]]:
    return _scan_once(plugins_disabled())


@functools.cache
def _scan_once(only_own: bool) -> tuple[dict[str, Registered], tuple[Failure, ...]]:
    found: dict[str, Registered] = {}
    broken: list[Failure] = []
    points = importlib.metadata.entry_points(group=GROUP)
    # The toolkit's own names come first, so that no plugin can take one over.
    for point in sorted(points, key=lambda point: (_dist(point) != OWN, point.name, _dist(point))):
        dist = _dist(point)
        if only_own and dist != OWN:
            continue
        try:
            found_spec = _load(point, found)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must not take the others with it
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            broken.append(Failure(point.name, dist, line, traceback.format_exc()))
        else:
            found[point.name] = Registered(found_spec, dist)
    return found, tuple(broken)


def _load(point: importlib.metadata.EntryPoint, taken: dict[str, Registered]) -> MethodSpec:
    if point.name in taken:
        raise ValueError(f"the name {point.name!r} is taken by {taken[point.name].dist}")
    value = point.load()
    if not isinstance(value, MethodSpec):
        raise TypeError(f"{point.value} is {type(value).__name__}, not a MethodSpec")
    if value.name != point.name:
        raise ValueError(f"{point.value} calls itself {value.name!r}, its entry point {point.name!r}")
    return value


def _dist(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"
