"""Ablation rows of the papers as data: conf/ablation/NAME.yaml holds the change and what the paper reports of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any

from motionkit import registry
from motionkit.errors import UserError, unknown
from motionkit.running.choices import method_settings
from motionkit.running.keywords import merged
from motionkit.settings.config import typed
from motionkit.table.bench import protocol

GROUP = "ablation"
SIGNS = ("lower", "higher", "open")


@dataclass
class Claim:
    """One result of the paper on a row, stated for one of our metrics.

    Attributes:
        figure: ours, a name of the metric protocol's facts.
        sign: direction of the ablated row against the full method, for our metric: "lower" or "higher"; "open" when
            the paper states none.
        paper: the paper's metric (a key of `Ablation.numbers`), or its words.
    """

    figure: str = ""
    sign: str = "open"
    paper: str = ""


@dataclass
class Ablation:
    """One ablation row of a paper.

    Attributes:
        name: of the file.  row: as the paper calls it.  where: the figure or table of the paper.
        method: ours.  backbone: None for the method's own.
        bench: the protocol (conf/bench) on which it is judged.
        base: settings of the row that it is held against.  settings: what the ablation changes on top of them.
        base_bench: protocol of the row that it is held against, when the ablation changes the request; cases are the
            same.
        train: settings of a training run without the part, under `train.`; such a row needs the trained `model`.
        train_seed: of that run. A row that changes nothing else is a control: how far two trainings differ.
        model: folder of the trained variant, which is then compared with the one called FULL.
        not_run: why the row cannot run at all, in one line.
        numbers: the paper's metric -> [full method, ablated row].
        claims: the results that our metrics can check.
        reason: one sentence on why we disagree, where that was measured.  note: the same where it was not.
    """

    name: str = ""
    row: str = ""
    where: str = ""
    method: str = ""
    backbone: str | None = None
    bench: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    base_bench: str | None = None
    train: dict[str, Any] = field(default_factory=dict)
    train_seed: int | None = None
    model: str = ""
    not_run: str = ""
    numbers: dict[str, list[float]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    reason: str = ""
    note: str = ""

    @property
    def changed(self) -> dict[str, Any]:
        """All settings of the ablated row, nested as in the method's configuration."""
        return merged(self.base, self.settings)

    def check(self) -> Ablation:
        """The ablation itself.

        Raises:
            UserError: an unknown or invalid method, protocol, setting, sign or number.
        """
        where = f"conf/ablation/{self.name}.yaml"
        spec = registry.spec(self.method)
        for name in filter(None, (self.bench, self.base_bench)):
            protocol.read(name)
        for settings in (self.base, self.changed):
            method_settings(spec, settings)
        if not self.claims:
            raise UserError(f"{where}: no claim: add what the paper reports, or there is nothing to compare")
        for claim in self.claims:
            if claim.sign not in SIGNS:
                raise UserError(f"{where}: {unknown('sign', claim.sign, SIGNS)}")
        if wrong := [name for name, pair in self.numbers.items() if len(pair) != 2]:
            raise UserError(f"{where}: numbers of {wrong[0]}: give [full method, ablated row]")
        if (bool(self.train) or self.train_seed is not None) != bool(self.model):
            raise UserError(f"{where}: give both train (its training settings) and model (its folder), or neither")
        return self


def known() -> list[str]:
    """The names of all rows, sorted."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def read(name: str) -> Ablation:
    """The row of conf/ablation/NAME.yaml.

    Raises:
        UserError: no such row, an unknown key, or an invalid value.
    """
    from omegaconf import OmegaConf

    if name not in known():
        raise unknown("ablation", name, known())
    values = OmegaConf.to_container(OmegaConf.create((_folder() / f"{name}.yaml").read_text("utf-8")))
    return typed(Ablation, values, f"ablation {name}: ").check()


def choose(words: list[str] | tuple[str, ...] = ()) -> list[Ablation]:
    """The rows that names and patterns such as "flipsketch-*" stand for; all without any.

    Raises:
        UserError: a word that matches none.
    """
    found: dict[str, None] = {}
    for word in words or ("*",):
        matching = [name for name in known() if fnmatchcase(name, word)]
        if not matching:
            raise unknown("ablation", word, known())
        found |= dict.fromkeys(matching)
    return [read(name) for name in found]


def _folder() -> Any:
    return resources.files("motionkit.conf") / GROUP
