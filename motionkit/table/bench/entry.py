"""Rows of a table: an entry is a method, or a yardstick, with its settings on a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError, unknown
from motionkit.media import from_frames
from motionkit.running.choices import BackboneChoice, Chosen, choose, method_settings
from motionkit.running.request import Request
from motionkit.table.bench import tasks, yardsticks
from motionkit.table.bench.protocol import Protocol, dotted
from motionkit.transfer import Inputs, MethodSpec

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.backbones.part_files import PartOptions


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        label: what the row is called; unique in a table.
        method: a name of `motionkit methods`.
        backbone: a name of `motionkit backbones`, or None for the method's own.
        settings: of the method, nested as in its configuration.
        backbone_path: a folder with the backbone's weights, or another hub id.
        motion, lora, parts: as in `motionkit.running.choices.BackboneChoice`.
        yardstick: whether `method` is a name of `motionkit.table.bench.yardsticks` instead.
        sees: "truth": it is given the true video as reference and driving clip.
        pairs: number of cases it runs on, from the first; None is all.
    """

    label: str
    method: str
    backbone: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone_path: str | None = None
    motion: MotionOptions | None = None
    lora: Loras | None = None
    parts: PartOptions | None = None
    yardstick: bool = False
    sees: str = ""
    pairs: int | None = None

    @property
    def spec(self) -> MethodSpec:
        """The facts of its method. Raises: UserError for an unknown name."""
        return yardsticks.spec(self.method) if self.yardstick else registry.spec(self.method)

    def inputs(self, case: tasks.Case) -> Inputs:
        """Its inputs of a case."""
        if not self.sees:
            return case.inputs
        truth = from_frames(case.truth, tasks.FPS, "truth")
        return replace(case.inputs, reference=truth, driving=truth)

    def settings_for(self, case: tasks.Case) -> Mapping[str, Any]:
        """Its settings on a case: a text such as "{source_kind}" is replaced by that fact of the case."""
        return _filled(self.settings, case.facts)

    @property
    def weights(self) -> BackboneChoice:
        """Its backbone and weights."""
        return BackboneChoice(self.backbone, self.backbone_path, motion=self.motion, lora=self.lora, parts=self.parts)

    @property
    def typed(self) -> str:
        """Its settings, motion modules and LoRA as they are typed on the command line."""
        return " ".join(f"{key}={value}" for key, value in (*dotted(self.settings), *self.weights.typed().items()))


@dataclass(frozen=True)
class Options:
    """What all cells of a start have in common besides the protocol.

    Attributes:
        gpu: a name of conf/gpu, a mapping of its settings, or a `motionkit.settings.gpu.Plan`.
        online: may weights be downloaded?
        use_cache: take finished stages from the cache; times then leave them out, and the table says so.
        weights, least: as `motionkit.metrics.protocols.get`: the metrics' weights, and their smallest numbers of clips.
    """

    gpu: Any = "cpu"
    online: bool = False
    use_cache: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)


def _filled(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    words = {f"{{{name}}}": value for name, value in facts.items()}
    return {
        key: _filled(value, facts)
        if isinstance(value, Mapping)
        else words.get(value, value)
        if isinstance(value, str)
        else value
        for key, value in settings.items()
    }


def entries_of(
    methods: Sequence[str],
    backbones: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    weights: BackboneChoice | None = None,
) -> list[Entry]:
    """Rows for every method on every backbone (default: its own); a method that needs no backbone has one row.

    Args:
        backbones: names, or patterns such as "pocket-*".
        weights: path, motion modules and LoRA of every row that has a backbone; its name is ignored.

    Raises:
        UserError: an unknown method, backbone or setting, a method twice, or settings of a method not in the table.
    """
    if not methods:
        raise UserError("no method to measure: give methods=[still,warp]")
    if twice := [name for name in methods if list(methods).count(name) > 1]:
        raise UserError(f"methods has {twice[0]!r} twice: name each method once")
    for name in settings or {}:
        if name not in methods:
            raise unknown("method in settings", name, methods)
    made, wanted = [], expand(backbones)
    for name in methods:
        spec, own = registry.spec(name), dict((settings or {}).get(name) or {})
        method_settings(spec, own, f"settings.{name}.")
        if not spec.backbones:
            made.append(Entry(name, name, None, own))
            continue
        chosen: list[str | None] = [*wanted] or [None]
        more = (weights.path, weights.motion, weights.lora, weights.parts) if weights else ()
        made += [Entry(f"{name} on {b}" if len(chosen) > 1 else name, name, b, own, *more) for b in chosen]
    return made


def expand(backbones: Sequence[str]) -> list[str]:
    """The backbones that match names and patterns such as "pocket-*", each once; raises UserError for none."""
    from fnmatch import fnmatchcase

    found: dict[str, None] = {}
    for word in backbones:
        named = word in ("auto", "pocket", "tiny")  # aliases of other names: no pattern matches them
        matching = [word] if named else [name for name in catalog.specs() if fnmatchcase(name, word)]
        if not matching:
            raise unknown("backbone", word, catalog.specs())
        found |= dict.fromkeys(matching)
    return list(found)


def settled(entry: Entry, task: tasks.Task, online: bool = False) -> Chosen:
    """An entry's method, checked settings and backbone, from declarations alone: nothing heavy is loaded.

    Raises:
        UserError: unsupported: the method does not run on the backbone, or the task lacks an input that it needs.
    """
    request = Request(entry.spec, config=entry.settings, backbone=replace(entry.weights, online=online))
    chosen = choose(request, f"settings.{entry.method}.")
    given = {*task.gives, *(("reference", "driving") if entry.sees else ())}
    for need in chosen.spec.requires:
        if need.name not in given:
            raise UserError(f"{entry.method} needs {need.name}, which the task {task.name!r} does not have")
    return chosen


def side_of(protocol: Protocol, backbone: str | None) -> int:
    """The working side of a method, pixels: the protocol's, else its backbone's default, else that of the cases."""
    return (protocol.works_at or catalog.get(backbone).default_size) if backbone else protocol.size
