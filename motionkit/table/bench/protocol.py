"""A protocol: everything that decides what a benchmark asks for and how it measures, as data with a hash.

It is read from conf/bench/NAME.yaml. Other pairs, frames or seeds make another protocol with another hash; its table
says so (`deviations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from typing import Any

from motionkit.errors import UserError, unknown
from motionkit.table.bench import tasks
from motionkit.weights.hashing import hash_json

GROUP, LEDGER = "bench", "ablations"  # conf/bench/ablations.yaml is not a protocol: it runs many

_WHO = ("rows", "contrasts", "variants")  # which rows there are, not what is asked of them
_MULTIPLE = 8  # pixels, what a method without a backbone needs (`motionkit.running.canvas`)


@dataclass
class Reducers:
    """How values of cells are averaged: over the seeds of a pair, then over pairs with an interval.

    Attributes:
        confidence: of the percentile bootstrap interval over pairs, in (0, 1).
        resamples: how many samples it draws.
        bootstrap_seed: of that drawing.
    """

    seeds: str = "mean"
    pairs: str = "mean"
    confidence: float = 0.95
    resamples: int = 10_000
    bootstrap_seed: int = 0


@dataclass
class NamedRow:
    """A row of the protocol itself, used when the command names no methods.

    Attributes:
        label: what it is called.
        method: a name of `motionkit methods`.  yardstick: in its place, one of `motionkit.table.bench.yardsticks`.
        backbone: None for the method's own.  settings: of the method or yardstick.
        sees: "truth": it is given the true video as its clips.
        pairs: number of cases it runs on, from the first.
        model: folder below `Protocol.variants` in which its backbone's weights lie, in `model/`.
    """

    label: str = ""
    method: str = ""
    yardstick: str = ""
    backbone: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    sees: str = ""
    pairs: int | None = None
    model: str = ""


@dataclass
class Contrast:
    """Two rows that a table compares, case by case.

    Attributes:
        figure: a name of the metric protocol's facts.
        row, against: labels; the difference is the first minus the second.
        sign: "higher" or "lower", as claimed of the first.
        says: the claim in words.
    """

    figure: str = ""
    row: str = ""
    against: str = ""
    sign: str = "higher"
    says: str = ""


@dataclass
class Protocol:
    """The request; the fields of conf/bench/*.yaml.

    Attributes:
        task: a name of `motionkit.table.bench.tasks`.
        pairs: how many cases; they are the task's cases 0 to pairs - 1 under `pair_seed`.
        frames: of each clip.  size: side in pixels at which cases are drawn and figures taken.
        seeds: of the methods; every method runs on every pair with each of them.
        metrics: a name of `motionkit.metrics.protocols`.
        works_at: side at which methods with a backbone work, pixels; None for each backbone's own.
        version: raised when the meaning of the name changes.
        rows, contrasts: the rows when the command names none, and the pairs of rows to compare; not part of the
            request, and so not of the hash.
        variants: folder of trained models for the rows that have a `model`; not of the hash either.
    """

    name: str = "sprites"
    version: str = "1"
    task: str = "transfer"
    pairs: int = 24
    pair_seed: int = 0
    frames: int = 10
    size: int = 128
    seeds: list[int] = field(default_factory=lambda: [0])
    metrics: str = "sprites-v1"
    works_at: int | None = None
    reducers: Reducers = field(default_factory=Reducers)
    rows: list[NamedRow] = field(default_factory=list)
    contrasts: list[Contrast] = field(default_factory=list)
    variants: str | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of all fields of the request, and of the version of the task's generator."""
        asked = {key: value for key, value in asdict(self).items() if value is not None and key not in _WHO}
        return hash_json([asked, tasks.get(self.task).version])

    def check(self) -> Protocol:
        """The protocol itself.

        Raises:
            UserError: an unknown task, or an invalid number.
        """
        tasks.get(self.task)
        limits = {"pairs": (1, 100_000), "frames": (2, 2000), "size": (32, 4096)}
        if self.works_at is not None:
            limits["works_at"] = (32, 4096)
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"bench.{name}={getattr(self, name)} is outside {low} to {high}")
        for name in ("size", "works_at"):
            if (side := getattr(self, name)) is not None and side % _MULTIPLE:
                raise UserError(f"bench.{name}={side}: give a multiple of {_MULTIPLE}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f"bench.seeds={self.seeds}: give different whole numbers from 0 on, such as [0,1]")
        self._check_rows()
        if not 0 < self.reducers.confidence < 1 or self.reducers.resamples < 1:
            raise UserError("bench.reducers: confidence must be between 0 and 1, and resamples at least 1")
        for what in ("seeds", "pairs"):
            if getattr(self.reducers, what) != "mean":
                raise UserError(f"bench.reducers.{what}={getattr(self.reducers, what)}: give mean")
        return self

    def _check_rows(self) -> None:
        labels = [row.label for row in self.rows]
        if len(set(labels)) < len(labels):
            raise UserError(f"bench.rows of {self.name}: give each row a label of its own")
        for row in self.rows:
            if bool(row.method) == bool(row.yardstick) or row.sees not in ("", "truth"):
                raise UserError(
                    f"bench.rows: {row.label} needs either a method or a yardstick, and sees must be truth or left out"
                )
        for one in self.contrasts:
            if one.sign not in ("higher", "lower") or {one.row, one.against} - set(labels):
                raise UserError(
                    f"bench.contrasts: {one.row} against {one.against} needs the labels of two rows and a sign"
                )


def asked_of(protocol: Protocol) -> dict[str, Any]:
    """All fields of the request, as a table states them."""
    return {key: value for key, value in asdict(protocol).items() if key not in _WHO}


def known() -> list[str]:
    """The names of the protocols that ship with motionkit, sorted."""
    found = sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))
    return [name for name in found if name != LEDGER]


def read(name: str = "sprites", **changed: Any) -> Protocol:
    """The protocol of conf/bench/NAME.yaml, with some fields changed.

    Raises:
        UserError: no such protocol, an unknown field, or an invalid value.
    """
    from motionkit.settings.config import typed

    return typed(Protocol, dict(_published(name)) | changed | {"name": name}, "bench.").check()


def deviations(protocol: Protocol) -> dict[str, tuple[Any, Any]]:
    """The fields in which a protocol differs from the published one of its name: field -> (published, here).

    A protocol of a name that is not published deviates from nothing.
    """
    if protocol.name not in known():
        return {}
    published, own = asdict(read(protocol.name)), asdict(protocol)
    return {
        f.name: (published[f.name], own[f.name])
        for f in fields(Protocol)
        if f.name not in _WHO and published[f.name] != own[f.name]
    }


def title(protocol: Protocol) -> str:
    """The protocol in a line, such as "sprites v1 (1a2b3c4d)", with the changes of a sub-run."""
    changed = "; ".join(f"{name} {there} → {here}" for name, (there, here) in deviations(protocol).items())
    sub_run = f", a sub-run: {changed}" if changed else ""
    return f"{protocol.name} v{protocol.version} ({protocol.hash[:8]}){sub_run}"


def dotted(values: Mapping[str, object], above: str = "") -> list[tuple[str, str]]:
    """Nested settings as they are typed on the command line: ("epi.realign", "false"); texts keep their case."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += dotted(value, f"{above}{key}.")
        else:
            text = "[" + ",".join(map(str, value)) + "]" if isinstance(value, list | tuple) else str(value)
            words = {"None": "null", "True": "true", "False": "false"}
            found.append((f"{above}{key}", words.get(text, text)))
    return found


def _folder() -> Any:
    return resources.files("motionkit.conf") / GROUP


def _published(name: str) -> Mapping[str, Any]:
    from omegaconf import OmegaConf

    if name not in known():
        raise unknown("bench", name, known())
    text = (_folder() / f"{name}.yaml").read_text("utf-8")
    found = OmegaConf.to_container(OmegaConf.create(text))
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
