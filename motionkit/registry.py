"""Finds declared parts by name: one entry-point group per kind of part, loaded on use; a broken plugin harms no other.

A built-in part is registered exactly as a third party's is: the entry point's value is "package.module:ATTRIBUTE", an
object of the group's class in a module that imports no torch, and its `name` is the entry point's. An entry point that
fails to load is kept with its error and breaks nothing else. MOTIONKIT_DISABLE_PLUGINS=1 leaves only the parts of the
motionkit distribution itself.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import os
import traceback
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from motionkit.errors import UserError, unknown

if TYPE_CHECKING:
    from motionkit.backbones.spec import BackboneSpec
    from motionkit.diffusion.samplers import SamplerSpec
    from motionkit.metrics.measure import Measure
    from motionkit.perception.estimators import EstimatorSpec
    from motionkit.transfer import MethodSpec, Transfer

OWN = "motionkit"
_MISFIT = "motionkit.settings.fact_types:misfit"  # in a room above this one


class Part(Protocol):
    """What every declared part has: a name."""

    @property
    def name(self) -> str:
        """The word on the command line."""


Kind = TypeVar("Kind", bound=Part)


class Failure(NamedTuple):
    """An entry point that could not be loaded."""

    name: str
    dist: str
    error: str
    traceback: str


@dataclass(frozen=True)
class Registered(Generic[Kind]):
    """A part and the distribution that provides it."""

    spec: Kind
    dist: str


@dataclass(frozen=True)
class Group(Generic[Kind]):
    """All parts of one kind.

    Attributes:
        points: the group of entry points.
        what: the word for one of its parts, as in "unknown method".
        kind: "package.module:Class" that each of them must be an instance of, imported with the first of them.
    """

    points: str
    what: str
    kind: str

    def names(self) -> list[str]:
        """Every part that can be used, sorted."""
        return sorted(self._scan()[0])

    def every(self) -> list[Kind]:
        """Every part that can be used, sorted by name.

        Raises:
            UserError: not even motionkit's own are there: its installation is older than the group.
        """
        found = self._scan()[0]
        self._refuse_old(found)
        return [found[name].spec for name in sorted(found)]

    def get(self, name: str) -> Kind:
        """The part of that name.

        Raises:
            UserError: no such part (with the nearest name), or its plugin is broken (with its error).
        """
        return self.registered(name).spec

    def registered(self, name: str) -> Registered[Kind]:
        """The part of that name and where it comes from; raises as `get` does."""
        found, broken = self._scan()
        if name in found:
            return found[name]
        for failure in broken:
            if failure.name == name:
                raise UserError(f"{self.what} {name!r} of {failure.dist} cannot be loaded: {failure.error}")
        self._refuse_old(found)
        raise unknown(self.what, name, found)

    def dist_of(self, spec: Kind) -> str:
        """The distribution and version that provides a part, or "" for one that is not registered."""
        known = self._scan()[0].get(spec.name)
        return f"{known.dist} {importlib.metadata.version(known.dist)}" if known and known.spec is spec else ""

    def failures(self) -> list[Failure]:
        """The entry points that could not be loaded."""
        return list(self._scan()[1])

    def _refuse_old(self, found: dict[str, Registered[Kind]]) -> None:
        if not any(part.dist == OWN for part in found.values()):
            raise UserError(f"no {self.what} is registered, since this installation is too old: install it again")

    def _scan(self) -> tuple[dict[str, Registered[Kind]], tuple[Failure, ...]]:
        return _scan_once(self, plugins_disabled())

    def _load(self, point: importlib.metadata.EntryPoint, taken: dict[str, Registered[Any]]) -> Any:
        if point.name in taken:
            raise ValueError(f"the name {point.name!r} is taken by {taken[point.name].dist}")
        value, kind = point.load(), load_object(self.kind)
        if not isinstance(value, kind):
            raise TypeError(f"{point.value} is {type(value).__name__}, not a {kind.__name__}")
        if value.name != point.name:
            raise ValueError(f"{point.value} calls itself {value.name!r}, its entry point {point.name!r}")
        if _dist(point) != OWN and (wrong := load_object(_MISFIT)(value, kind)):
            raise TypeError(f"{point.value}: {wrong}")
        return value


METHODS: Group[MethodSpec] = Group("motionkit.methods", "method", "motionkit.transfer:MethodSpec")
BACKBONES: Group[BackboneSpec] = Group("motionkit.backbones", "backbone", "motionkit.backbones.spec:BackboneSpec")
SAMPLERS: Group[SamplerSpec] = Group("motionkit.samplers", "sampler", "motionkit.diffusion.samplers:SamplerSpec")
METRICS: Group[Measure] = Group("motionkit.metrics", "metric", "motionkit.metrics.measure:Measure")
ESTIMATORS: Group[EstimatorSpec] = Group(
    "motionkit.estimators", "estimator", "motionkit.perception.estimators:EstimatorSpec"
)
GROUPS: tuple[Group[Any], ...] = (METHODS, BACKBONES, SAMPLERS, METRICS, ESTIMATORS)


def names() -> list[str]:
    """Every method that can be used, sorted."""
    return METHODS.names()


def spec(name: str) -> MethodSpec:
    """The facts about a method; raises as `Group.get` does."""
    return METHODS.get(name)


def registered(name: str) -> Registered[MethodSpec]:
    """The facts about a method and where it comes from; raises as `Group.get` does."""
    return METHODS.registered(name)


def dist_of(spec: MethodSpec) -> str:
    """The distribution and version that provides a method, or "" for one that is not registered."""
    return METHODS.dist_of(spec)


def failures() -> list[Failure]:
    """The methods that could not be loaded."""
    return METHODS.failures()


def transfer_class(name: str) -> type[Transfer]:
    """Import a method's class, which is what loads torch."""
    return load_object(spec(name).transfer)


def spec_of(method: Any) -> MethodSpec:
    """The facts of a method that is given by its name, or by themselves; raises as `Group.get` does."""
    if isinstance(method, str):
        return METHODS.get(method)
    if isinstance(method, load_object(METHODS.kind)):
        return method  # type: ignore[no-any-return]
    raise UserError(f"a method is given by its name, such as 'warp', not as {type(method).__name__}")


def settings_class(spec: MethodSpec) -> type:
    """The dataclass of a method's settings.

    Raises:
        UserError: it cannot be imported, or is none, or its types cannot be read.
    """
    found, whose = load_object(spec.config), f"method {spec.name!r}: its settings {spec.config}"
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise UserError(f"{whose} are no dataclass, which its package has to mend")
    try:
        typing.get_type_hints(found)
    except Exception as error:
        raise UserError(f"{whose} have a type that cannot be read ({error}), which its package has to mend") from error
    return found


def load_object(path: str) -> Any:
    """Import "package.module:attribute".

    Raises:
        UserError: the module or the attribute is not there, or the module fails in any way.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except UserError:
        raise
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot import {path}: {error}") from error
    except (Exception, SystemExit) as error:  # another package's module may fail in any way
        raise UserError(f"cannot import {path}: {type(error).__name__}: {error}") from error


def plugins_disabled() -> bool:
    """Whether MOTIONKIT_DISABLE_PLUGINS is set."""
    return os.environ.get("MOTIONKIT_DISABLE_PLUGINS", "") not in ("", "0")


def refresh() -> None:
    """Look at the installed distributions again."""
    _scan_once.cache_clear()


@functools.cache
def _scan_once(group: Group[Any], only_own: bool) -> tuple[dict[str, Registered[Any]], tuple[Failure, ...]]:
    found: dict[str, Registered[Any]] = {}
    broken: list[Failure] = []
    points = importlib.metadata.entry_points(group=group.points)
    # The toolkit's own names come first, so that no plugin can take one over.
    for point in sorted(points, key=lambda point: (_dist(point) != OWN, point.name, _dist(point))):
        dist = _dist(point)
        if only_own and dist != OWN:
            continue
        try:
            part = group._load(point, found)
        except (Exception, SystemExit) as error:  # a plugin may fail in any way; it must not take the others with it
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            broken.append(Failure(point.name, dist, line, traceback.format_exc()))
        else:
            found[point.name] = Registered(part, dist)
    return found, tuple(broken)


def _dist(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"
