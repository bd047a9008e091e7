"""`motionkit.compare` and `motionkit.bench`: the two tables as Python functions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from motionkit.errors import UserError
from motionkit.media.output_files import local_path
from motionkit.running import keywords
from motionkit.running.choices import BackboneChoice
from motionkit.running.clips import excerpt, read
from motionkit.running.given_clips import INPUTS, clip_of, inputs_of
from motionkit.running.request import OPTIONS, Request, check_values

if TYPE_CHECKING:
    from motionkit.context import Progress
    from motionkit.table.bench.engine import Outcome
    from motionkit.table.compare import Comparison

_PER_METHOD = dict.fromkeys(("steps", "guidance"), "for each method, in settings={NAME: {...}}")
_PER_METHOD["output"] = "as folder=, which holds the whole comparison"


@dataclass
class _NoSettings:
    """The options of a call without settings of a method, which `settings` holds for each."""


def compare(
    methods: Sequence[str] | str,
    reference: Any = None,
    driving: Any = None,
    prompt: str = "",
    *,
    truth: Any = None,
    settings: Mapping[str, Any] | None = None,
    folder: str | Path = "runs/compare/python",
    backbone: str | None = None,
    backbone_path: str | None = None,
    online: bool = False,
    gpu: Any = "auto",
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Run the same inputs through several methods; the result has `report`, `entries` and `failed`.

    Args:
        methods: names of `motionkit methods`, each once.
        truth: the true video, where it is known: a path or a clip, as reference and driving.
        settings: method -> those of its settings that differ from the defaults.
        folder: report.html, grid.mp4, metrics.json and cells/; a second call resumes there.
        backbone: for every method that needs one.
        options: as of a call of `Method`, the settings of a method left out.

    Raises:
        UserError: the request cannot work for any method.
    """
    from motionkit.table.compare.engine import choose_methods, compare_request

    methods = names_of("methods", methods)
    choose_methods(methods, settings or {})  # before any file is read, which may take a while
    place = _folder(folder)
    given = {"reference": reference, "driving": driving, "prompt": prompt}
    words = {name: value for name, value in given.items() if value is not None} | options
    asked = keywords.sort(_NoSettings, words, (*INPUTS, *(name for name in OPTIONS if name != "output")), _PER_METHOD)
    choice = BackboneChoice(backbone, backbone_path, online=online)
    inputs, memory = inputs_of(asked.fields), keywords.with_memory(gpu, asked.memory)
    request = Request("", inputs, backbone=choice, gpu=memory, **asked.fields)
    check_values(request)
    whole = read(replace(request, audio=False))
    true = clip_of(truth, "truth", request.fps)
    if isinstance(true, str | Path):
        true = excerpt(request).truth(true)
    return compare_request(methods, whole, settings, place, true, progress)


class Benchmark(NamedTuple):
    """The result of `bench`: the table, and its page."""

    outcome: Outcome
    page: Path

    def __repr__(self) -> str:
        rows = ", ".join(row.entry.label for row in self.outcome.rows)
        return f"<Benchmark {self.outcome.protocol.name} of {rows}: {self.page}>"

    def _repr_html_(self) -> str:
        from motionkit.report.text import file_in_notebook

        return file_in_notebook(self.page.with_suffix(".png"), repr(self))


def names_of(what: str, names: Any) -> list[str]:
    """The names of methods or backbones; one name is a list of it. Raises: UserError: something else than names."""
    if not isinstance(names, Iterable):
        raise UserError(f"{what}={names!r}: give a list of names")
    named = [names] if isinstance(names, str) else list(names)
    for name in named:
        if not isinstance(name, str):
            raise UserError(f"{what} has {name!r}: give names, and settings of methods as settings={{NAME: {{...}}}}")
    return named


def bench(
    methods: Sequence[str] | str,
    name: str = "sprites",
    *,
    backbones: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    pairs: int | None = None,
    frames: int | None = None,
    size: int | None = None,
    seeds: Sequence[int] | None = None,
    gpu: Any = "auto",
    online: bool = False,
    cache: bool = False,
    workers: int = 1,
    threads: int | None = None,
    weights: Mapping[str, str] | None = None,
    least: Mapping[str, int] | None = None,
) -> Benchmark:
    """Run every method on a protocol of conf/bench, as a table with its page; a second call resumes.

    Args:
        methods: names of `motionkit methods`; none is the protocol's own rows.
        name: of the protocol.
        backbones: every method on each of them, patterns too; none is each method's own.
        folder: None is runs/bench/NAME.
        pairs, frames, size, seeds: where given, another protocol with another hash.
        workers: cells side by side.
        settings: method -> its settings.
        weights, least: of metrics, as `motionkit.metrics.protocols.get`.

    Raises:
        UserError: nothing can run.
    """
    from motionkit.table.bench import engine, protocol
    from motionkit.table.bench.entry import Options, entries_of
    from motionkit.table.bench.page import write_results
    from motionkit.table.bench.rows import entries_of_rows
    from motionkit.table.bench.runners import make_runner

    every = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else seeds
    changed = {"pairs": pairs, "frames": frames, "size": size, "seeds": every}
    changed = {key: keywords.plain(value) for key, value in changed.items()}
    chosen = protocol.read(name, **{key: value for key, value in changed.items() if value is not None})
    who = (names_of("backbones", backbones), settings or {}, BackboneChoice(online=online))
    methods = names_of("methods", methods)
    entries = entries_of(methods, *who) if methods or not chosen.rows else entries_of_rows(chosen, *who)
    place = _folder(folder) if folder is not None else Path("runs") / "bench" / name
    runner = make_runner("serial" if workers == 1 else "joblib", place, workers, threads)
    options = Options(gpu, online, cache, dict(weights or {}), dict(least or {}))
    outcome = engine.run(chosen, entries, place, options, runner, may_be_empty=False)
    return Benchmark(outcome, write_results(place, outcome))


def _folder(given: Any) -> Path:
    """A folder as it is typed. Raises: UserError."""
    if not isinstance(given, str | os.PathLike):
        raise UserError(f"folder={given!r}: give a path")
    return local_path(os.fspath(given))
