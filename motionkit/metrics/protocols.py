"""Named ways of measuring, as data with a version and a hash, so that it is known by which rules a figure was made.

`get("sprites-v1")` is a `MetricProtocol`. Its YAML lies in conf/metrics; the hash covers that file, changed settings,
and the bytes of the judges and of the weights that the user named, so figures with the same hash were measured in the
same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from motionkit.errors import MissingWeights, UserError, unknown
from motionkit.metrics.measure import Measure, Request, lacks
from motionkit.metrics.needs import NEEDS, locate
from motionkit.metrics.sets import SETS, SetFigure, SetMeasure
from motionkit.registry import METRICS
from motionkit.settings.fact import Fact
from motionkit.weights.hashing import hash_json, hash_path

_KEYS = ("name", "version", "summary", "video", "sets")


@dataclass(frozen=True)
class MetricProtocol:
    """Which metrics are computed, and how.

    Attributes:
        name, version, summary: as written in its file.
        measures: those of one video, in the order of the table's columns.
        set_measures: those of a set of videos -> their settings.
        weights: where the user keeps weights that do not come with the package: name in `needs.NEEDS` -> file, folder
            or hub id.
    """

    name: str
    version: int
    summary: str
    measures: tuple[str, ...]
    set_measures: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def facts(self) -> dict[str, Fact]:
        """Name -> what a table says about it: first those of one video, then those of a set."""
        return {name: METRICS.get(name).fact for name in self.measures} | {
            name: SETS[name].fact for name in self.set_measures
        }

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that decides a figure: the file, changed settings, judges, weights named by the user.

        Raises:
            UserError: a named file of weights cannot be read.
        """
        from motionkit.metrics.judges import weights_path

        judges = sorted({judge for measure in self._every.values() for judge in measure.judges})
        found = {judge: weights_path(judge) for judge in judges}
        return hash_json(
            {
                "name": self.name,
                "version": self.version,
                "video": self.measures,
                "sets": {name: dict(given) for name, given in self.set_measures.items()},
                "judges": {judge: hash_path(path) if path.is_file() else None for judge, path in found.items()},
                "weights": {name: _fingerprint(given) for name, given in sorted(self.weights.items())},
            }
        )

    @cached_property
    def key(self) -> str:
        """The hash, with the weights that were found by name and what is missing: figures with one key are alike.

        Figures are taken again when weights that were missing are there, or others lie in their place.
        """
        needed = sorted({need for measure in self._every.values() for need in measure.needs} - set(self.weights))
        found = {need: path for need in needed if (path := _located(need))}
        if not found and not self.missing:
            return self.hash
        return hash_json([self.hash, sorted(self.missing), {need: hash_path(path) for need, path in found.items()}])

    @property
    def _every(self) -> dict[str, Measure | SetMeasure]:
        every: dict[str, Measure | SetMeasure] = {name: METRICS.get(name) for name in self.measures}
        return every | {name: SETS[name] for name in self.set_measures}

    @cached_property
    def missing(self) -> dict[str, str]:
        """Figure -> the one line that says which weights it lacks on this machine; looked up once."""
        lines = {name: lacks(m.fact, m.judges, m.needs, self.weights) for name, m in self._every.items()}
        return {name: line for name, line in lines.items() if line}

    def video(
        self,
        video: np.ndarray,
        *,
        driving: np.ndarray | None = None,
        truth: np.ndarray | None = None,
        reference: np.ndarray | None = None,
        prompt: str = "",
        source_prompt: str = "",
        known: Mapping[str, Callable[[], np.ndarray]] | None = None,
    ) -> dict[str, float | None]:
        """Every figure of one video whose inputs are there; None without a value here (`missing` says why, by name).

        Args:
            video, truth: (F, H, W, 3) uint8 of one shape.
            driving: (F, h, w, 3) uint8 with the same number of frames; measured by only when there is no truth.
            reference: (h, w, 3) uint8, what the video should keep to.
            prompt: what was asked for.
            source_prompt: what the driving video shows.
            known: what only a renderer knows, as of `motionkit.metrics.measure.Request`.

        Raises:
            ValueError: shapes that do not go together.
            UserError: weights that are there but cannot be used.
        """
        request = Request(video, driving, truth, reference, prompt, self.weights, source_prompt, known or {})
        asked = {name: spec for name in self.measures if request.has((spec := METRICS.get(name)).fact.needs)}
        return {name: None if name in self.missing else spec.of(request) for name, spec in asked.items()}

    def sets(
        self, videos: Sequence[np.ndarray], truths: Sequence[np.ndarray], prompts: Sequence[str] = ()
    ) -> dict[str, SetFigure]:
        """Every figure of a set, each with its interval or the reason why it was not measured.

        Args:
            videos, truths: each (F, H, W, 3) uint8; video i is the answer to what truth i shows.
            prompts: not read by any figure of a set so far.

        Raises:
            ValueError: no videos, or not as many true ones.
            UserError: weights that are there but cannot be used.
        """
        if not videos or len(videos) != len(truths):
            raise ValueError(f"needs as many true videos as videos, at least one: {len(videos)} and {len(truths)}")
        figures = {}
        for name, given in self.set_measures.items():
            if name in self.missing:
                figures[name] = SetFigure(n=len(videos), skipped=self.missing[name])
            else:
                figures[name] = SETS[name].call(videos, truths, given, self.weights)
        return figures


def names() -> list[str]:
    """The protocols that are written down."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml"))


def get(name: str, weights: Mapping[str, str] | None = None, least: Mapping[str, int] | None = None) -> MetricProtocol:
    """The protocol of that name.

    Args:
        weights: where the user keeps weights: name in `needs.NEEDS` -> file, folder or hub id.
        least: figure of a set -> the fewest clips that it is made of; telling it to take fewer changes the hash.

    Raises:
        UserError: an unknown protocol, set of weights or figure; a `least` below 2.
    """
    if name not in names():
        raise unknown("metric protocol", name, names())
    protocol = parse(yaml.safe_load((_folder() / f"{name}.yaml").read_text(encoding="utf-8")), f"{name}.yaml")
    for key in weights or {}:
        if key not in NEEDS:
            raise unknown("set of metric weights", key, NEEDS)
    sets = {key: dict(given) for key, given in protocol.set_measures.items()}
    for key, count in (least or {}).items():
        if key not in sets:
            raise unknown(f"figure of {name} with a least number of clips", key, sets)
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise UserError(f"least.{key}={count}: give a whole number of clips, 2 or more")
        sets[key]["least"] = count
    return replace(protocol, set_measures=sets, weights=dict(weights or {}))


def parse(data: Any, where: str) -> MetricProtocol:
    """A protocol from what its YAML holds.

    Raises:
        UserError: a key is missing or unknown, or it names an unknown figure.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: a metric protocol is a mapping with {', '.join(_KEYS)}")
    for key in data:
        if key not in _KEYS:
            raise unknown(f"key of {where}", str(key), _KEYS)
    if absent := [key for key in _KEYS if key not in data]:
        raise UserError(f"{where}: lacks {absent[0]}: a metric protocol has {', '.join(_KEYS)}")
    for key in data["video"]:
        METRICS.get(str(key))
    sets: dict[str, dict[str, Any]] = {}
    for key, given in (data["sets"] or {}).items():
        if key not in SETS:
            raise unknown(f"metric of a set in {where}", str(key), SETS)
        sets[key] = SETS[key].settings | dict(given or {})
        for setting in sets[key]:
            if setting not in SETS[key].settings:
                raise unknown(f"setting of {key} in {where}", str(setting), SETS[key].settings)
    return MetricProtocol(str(data["name"]), int(data["version"]), str(data["summary"]), tuple(data["video"]), sets)


def _folder() -> Traversable:
    return files("motionkit.conf") / "metrics"


def _located(need: str) -> Path | None:
    try:
        return locate(need)
    except MissingWeights:
        return None


def _fingerprint(given: str) -> str:
    path = Path(given).expanduser()
    return hash_path(path) if path.exists() else given
