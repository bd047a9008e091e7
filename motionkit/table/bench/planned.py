"""Cells: an entry on one case with one seed, each with its key and what is kept of it.

A cell's folder is named by a hash of everything that its video depends on: the method's version and settings, the
weights, the memory plan, the case and the version of its generator, the seed. What is finished is read back.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.media.output_files import write_json
from motionkit.running.canvas import CanvasInputs
from motionkit.running.choices import Chosen
from motionkit.running.request import Request, plan_run
from motionkit.table.bench import tasks
from motionkit.table.bench.entry import Entry, Options, settled, side_of
from motionkit.table.bench.protocol import Protocol
from motionkit.table.store import CELLS, CellFolder, configuration, read_json
from motionkit.weights.hashing import hash_json

if TYPE_CHECKING:
    from motionkit.metrics.protocols import MetricProtocol
    from motionkit.settings.gpu import Plan

RECORD, FAILED = "cell.json", "failed.json"


@dataclass(frozen=True)
class Turn:
    """How a start treats a cell of its own.

    Attributes:
        metrics: the key of the metrics under which figures are wanted.
        tried: `Cell.last_try` as it was when the start began; another one is of a try since then, here or elsewhere.
        wait: for another start that is at work on the cell.
    """

    metrics: str
    tried: str
    wait: bool = False


@dataclass(frozen=True)
class Cell:
    """An entry on case `index` with a seed of the method.

    Attributes:
        key: the hash of its whole configuration.
        computed_in: device, type and autocast of the plan that the key stands for; () when none was made.
        plan: on a GPU, the rest of that plan and the card.
        turn: of the start that has it in hand; None outside of one.
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
    turn: Turn | None = None

    @property
    def folder(self) -> Path:
        """Where everything about this cell lies."""
        return self.root / CELLS / f"{self.entry.method}-{self.key[:16]}"

    @property
    def name(self) -> str:
        """For people: "anamodiff, case 3, seed 0"."""
        return f"{self.entry.label}, case {self.index}, seed {self.seed}"

    @property
    def kept(self) -> CellFolder:
        """Its folder of the store."""
        return CellFolder(self.folder)

    def record(self) -> dict[str, Any]:
        """What a finished cell says of itself: seconds, memory, inputs used, facts; {} when it is not finished."""
        return read_json(self.folder / RECORD)

    @property
    def is_made(self) -> bool:
        """Whether its video is whole and its record was written."""
        return bool(self.record()) and self.kept.is_finished

    def figures(self, metrics_key: str) -> dict[str, float | None] | None:
        """Its figures under the metrics of that key (`MetricProtocol.key`), or None when they were not taken."""
        found = read_json(self.figures_path(metrics_key))
        return found.get("figures") if found.get("metrics") == metrics_key else None

    def figures_path(self, metrics_key: str) -> Path:
        """Where its figures under those metrics are kept."""
        return self.folder / f"figures-{metrics_key[:12]}.json"

    def is_done(self, metrics_key: str) -> bool:
        """Whether it is made and has its figures."""
        return self.is_made and self.figures(metrics_key) is not None

    def failure(self) -> str:
        """Why its last try failed, in one line; "" when it did not."""
        return str(read_json(self.folder / FAILED).get("reason", ""))

    def fail(self, reason: str) -> None:
        """Keep the reason for the table; the next start tries again."""
        write_json(self.folder / FAILED, {"reason": reason, "try": secrets.token_hex(8)})

    @property
    def last_try(self) -> str:
        """A mark of its last try that failed; "" when none did."""
        found = read_json(self.folder / FAILED)
        return str(found.get("try") or found.get("reason", ""))

    @property
    def has_ended(self) -> bool:
        """Whether it was made, or failed, since the start that has it in hand began."""
        assert self.turn is not None
        return self.is_done(self.turn.metrics) or self.last_try != self.turn.tried


def cells_of(entry: Entry, protocol: Protocol, root: Path, options: Options | None = None) -> list[Cell]:
    """All cells of an entry with their keys, cases first.

    Raises:
        UserError: the entry is refused, in one line: as `settled`, or its weights are not here.
    """
    options, task = options or Options(), tasks.get(protocol.task)
    chosen = settled(entry, task, options.online)
    drawn = {"task": task.name, "generator": task.version, "pair_seed": protocol.pair_seed, "size": protocol.size}
    more = {"drawn": drawn, **({"sees": entry.sees} if entry.sees else {})}
    made = []
    for seed in protocol.seeds:
        whole = configuration_of(protocol, seed, options, chosen) | more
        for index in range(min(protocol.pairs, entry.pairs or protocol.pairs)):
            key = hash_json(whole | {"index": index})
            planned = whole["computed in"], whole.get("plan", {})
            made.append(Cell(entry, protocol, index, seed, key, root, options, *planned))
    return sorted(made, key=lambda cell: (cell.index, cell.seed))


def configuration_of(protocol: Protocol, seed: int, options: Options, chosen: Chosen) -> dict[str, Any]:
    """Everything but the case that a row's videos depend on; raises UserError when its weights are not here."""
    request = request_of(protocol, seed, options, chosen)
    side = side_of(protocol, chosen.backbone.name)
    fitted = CanvasInputs(request.inputs, None, protocol.frames, side, side, tasks.FPS)
    plan = plan_run(request, chosen, fitted)
    return configuration(plan) | ({} if plan.memory.device == "cpu" else {"plan": plan_facts(plan.memory)})


def request_of(protocol: Protocol, seed: int, options: Options, chosen: Chosen) -> Request:
    """What a row is asked on every case; each case adds its inputs."""
    return Request(
        chosen.spec,
        config=chosen.settings,
        backbone=chosen.backbone,
        gpu=options.gpu,
        seed=seed,
        frames=protocol.frames,
        size=side_of(protocol, chosen.backbone.name),
        use_cache=options.use_cache,
        common=True,
    )


def plan_facts(plan: Plan) -> dict[str, Any]:
    """What time and memory on a GPU depend on: the plan but for its name and remarks, and the card."""
    import torch

    from motionkit.settings.gpu import card_of

    card = torch.cuda.get_device_name(card_of(plan.device)) if torch.cuda.is_available() else ""
    left_out = ("name", "notes", *(["guidance"] if plan.batched else []))  # keys of cells from before it was there
    return {k: v for k, v in asdict(plan).items() if k not in left_out} | {"card": card}


def metrics_of(protocol: Protocol, options: Options) -> MetricProtocol:
    """The metrics that a protocol names, with what the user says of their weights; raises UserError as `get`."""
    from motionkit.metrics import protocols

    return protocols.get(protocol.metrics, options.weights, options.least)
