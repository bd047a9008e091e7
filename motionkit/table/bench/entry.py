"""Rows and cells: an entry is a method with its settings on a backbone, a cell is an entry on one case with one seed.

A cell's folder is named by a hash of everything that its video depends on: the method's version and settings, the
weights, the memory plan, the case and the version of its generator, the seed. What is finished is read back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError, unknown
from motionkit.media.output_files import write_json
from motionkit.running.choices import BackboneChoice, Chosen, choose, method_settings
from motionkit.running.request import Request
from motionkit.table.bench import tasks
from motionkit.table.bench.protocol import Protocol, dotted
from motionkit.weights.hashing import hash_json

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import LoraOptions
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.metrics.protocols import MetricProtocol

CELLS, RECORD, FAILED, TRACE, LOCK = "cells", "cell.json", "failed.json", "error.txt", "cell.lock"


@dataclass(frozen=True)
class Entry:
    """One row of a table.

    Attributes:
        label: what the row is called; unique in a table.
        method: a name of `motionkit methods`.
        backbone: a name of `motionkit backbones`, or None for the method's own.
        settings: of the method, nested as in its configuration.
        backbone_path: a folder with the backbone's weights, or another hub id.
        motion, lora: as in `motionkit.running.choices.BackboneChoice`.
    """

    label: str
    method: str
    backbone: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone_path: str | None = None
    motion: MotionOptions | None = None
    lora: LoraOptions | None = None

    @property
    def weights(self) -> BackboneChoice:
        """Its backbone, and which weights that gets."""
        return BackboneChoice(self.backbone, self.backbone_path, motion=self.motion, lora=self.lora)

    @property
    def typed(self) -> str:
        """Its settings, motion modules and LoRA as they are typed."""
        return " ".join(f"{key}={value}" for key, value in (*dotted(self.settings), *self.weights.typed().items()))


@dataclass(frozen=True)
class Options:
    """What all cells of a start have in common and no protocol fixes.

    Attributes:
        gpu: a name of conf/gpu, a mapping of its settings, or a `motionkit.settings.gpu.Plan`.
        online: may weights be downloaded?
        use_cache: take finished stages from the cache; times then lack what was taken, and the table says so.
        weights, least: as `motionkit.metrics.protocols.get`: where weights of metrics lie, and how few clips may do.
    """

    gpu: Any = "cpu"
    online: bool = False
    use_cache: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """An entry on case `index` with a seed of the method.

    Attributes:
        key: the hash of its whole configuration.
        computed_in: device, type and autocast of the plan that the key stands for; () when none was made.
        plan: on a GPU, the rest of that plan and the card.
    """

    entry: Entry
    protocol: Protocol
    index: int
    seed: int
    key: str
    root: Path
    options: Options = field(default_factory=Options)
    computed_in: tuple[str | None, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where everything about this cell lies."""
        return self.root / CELLS / f"{self.entry.method}-{self.key[:16]}"

    @property
    def name(self) -> str:
        """For people: "anamodiff, case 3, seed 0"."""
        return f"{self.entry.label}, case {self.index}, seed {self.seed}"

    def record(self) -> dict[str, Any]:
        """What a finished cell says of itself: seconds, memory, inputs used, facts; {} when it is not finished."""
        return read_json(self.folder / RECORD)

    def figures(self, metrics_key: str) -> dict[str, float | None] | None:
        """Its figures under the metrics of that key (`MetricProtocol.key`), or None when they were not taken."""
        found = read_json(self.figures_path(metrics_key))
        return found.get("figures") if found.get("metrics") == metrics_key else None

    def figures_path(self, metrics_key: str) -> Path:
        """Where its figures under those metrics are kept."""
        return self.folder / f"figures-{metrics_key[:12]}.json"

    def failure(self) -> str:
        """Why its last try failed, in one line; "" when it did not."""
        return str(read_json(self.folder / FAILED).get("reason", ""))

    def fail(self, reason: str) -> None:
        """Keep the reason for the table; the next start tries again."""
        write_json(self.folder / FAILED, {"reason": reason})


def entries_of(
    methods: Sequence[str],
    backbones: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    weights: BackboneChoice | None = None,
) -> list[Entry]:
    """Every method on every backbone; a method that needs no backbone once, and all on their own when none is named.

    Args:
        backbones: names, or patterns such as "pocket-*".
        weights: path, motion modules and LoRA of every row that has a backbone; its name says nothing here.

    Raises:
        UserError: an unknown method, backbone or setting, a method twice, or settings of a method that is not there.
    """
    if not methods:
        raise UserError("no method to measure: give methods=[still,warp]")
    if twice := [name for name in methods if list(methods).count(name) > 1]:
        raise UserError(f"methods has {twice[0]!r} twice: name each method once")
    for name in settings or {}:
        if name not in methods:
            raise unknown("method in settings", name, methods)
    made = []
    for name in methods:
        spec, own = registry.spec(name), dict((settings or {}).get(name) or {})
        method_settings(spec, own, f"settings.{name}.")
        if not spec.backbones:
            made.append(Entry(name, name, None, own))
            continue
        chosen: list[str | None] = [*_expand(backbones)] or [None]
        more = (weights.path, weights.motion, weights.lora) if weights else ()
        made += [Entry(f"{name} on {b}" if len(chosen) > 1 else name, name, b, own, *more) for b in chosen]
    return made


def _expand(backbones: Sequence[str]) -> list[str]:
    """The backbones that names and patterns stand for, each once."""
    from fnmatch import fnmatchcase

    found: dict[str, None] = {}
    for word in backbones:
        named = word in ("auto", "pocket", "tiny")  # these are words for another name each: no pattern means them
        matching = [word] if named else [name for name in catalog.specs() if fnmatchcase(name, word)]
        if not matching:
            raise unknown("backbone", word, catalog.specs())
        found |= dict.fromkeys(matching)
    return list(found)


def settled(entry: Entry, task: tasks.Task, online: bool = False) -> Chosen:
    """An entry's method, checked settings and backbone, from declarations alone: nothing heavy is loaded.

    Raises:
        UserError: the row has no meaning: the method does not run there, or the task lacks an input that it needs.
    """
    request = Request(entry.method, config=entry.settings, backbone=replace(entry.weights, online=online))
    chosen = choose(request, f"settings.{entry.method}.")
    for need in chosen.spec.requires:
        if need.name not in task.gives:
            raise UserError(f"{entry.method} needs {need.name}, which the task {task.name!r} does not have")
    return chosen


def side_of(protocol: Protocol, backbone: str | None) -> int:
    """The side at which a method works, pixels: the protocol's or its backbone's own; without one that of the cases."""
    return (protocol.works_at or catalog.get(backbone).default_size) if backbone else protocol.size


def cells_of(entry: Entry, protocol: Protocol, root: Path, options: Options | None = None) -> list[Cell]:
    """All cells of an entry with their keys, cases first.

    Raises:
        UserError: the entry is refused, in one line: as `settled`, or its weights are not here.
    """
    from motionkit.table.bench.cell import configuration_of

    options, task = options or Options(), tasks.get(protocol.task)
    chosen = settled(entry, task, options.online)
    drawn = {"task": task.name, "generator": task.version, "pair_seed": protocol.pair_seed, "size": protocol.size}
    made = []
    for seed in protocol.seeds:
        whole = configuration_of(protocol, seed, options, chosen) | {"drawn": drawn}
        for index in range(protocol.pairs):
            key = hash_json(whole | {"index": index})
            planned = whole["computed in"], whole.get("plan", {})
            made.append(Cell(entry, protocol, index, seed, key, root, options, *planned))
    return sorted(made, key=lambda cell: (cell.index, cell.seed))


def metrics_of(protocol: Protocol, options: Options) -> MetricProtocol:
    """The metrics that a protocol names, with what the user says of their weights; raises UserError as `get`."""
    from motionkit.metrics import protocols

    return protocols.get(protocol.metrics, options.weights, options.least)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that was kept; {} when it is not there or cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
