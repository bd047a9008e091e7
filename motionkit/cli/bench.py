"""`motionkit bench`: every method on a fixed task with a known truth, as a table with intervals, times and memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.cli.key_help import told
from motionkit.errors import UserError
from motionkit.settings.config import refuse_empty
from motionkit.settings.setting import setting
from motionkit.table.bench.runners import Cluster, make_runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from motionkit.cli.hydra_app import JobFolders
    from motionkit.table.bench.entry import Options
    from motionkit.table.bench.runners import Runner
    from motionkit.table.bench.shards import Shard


@dataclass
class BenchConfig:
    """The primary configuration of `motionkit bench`."""

    bench: Any = setting(
        "A protocol of conf/bench: sprites (one request for every method), drawing, edit, pose-self, pose-cross (and "
        "-64: at 64 px), transfer-still; with rows of their own anamodiff, flipsketch, vidmp3, animatex-self and "
        "-cross, animatex-variants-self and -cross (bench.variants=FOLDER), captions, captions-16, captions-drawing; "
        "or ablations: the papers' rows. Fewer cases (bench.pairs=4), other bench.frames=, bench.size= and "
        "bench.seeds=[0,1] make another protocol with another hash.",
        None,
    )
    methods: list[str] = setting(
        "Methods to measure, such as [still,warp]; see `motionkit methods`. Left out: the protocol's own rows, if it "
        "has any.",
        factory=list,
    )
    backbones: list[str] = setting(
        "Run every method on each of these, such as [pocket-*] (default: each on its own); unsupported pairs are "
        "listed with the reason.",
        factory=list,
    )
    backbone: Any = setting(
        "Weights of your own for every row with a backbone: backbone.path=FOLDER, backbone.lora=FILE, "
        "backbone.lora_scale=1.0, backbone.motion_adapter=FOLDER and the others, as for transfer.",
        None,
    )
    settings: dict[str, Any] = setting("A setting of one method (`motionkit methods NAME`).", factory=dict)
    ablations: list[str] = setting(
        "With bench=ablations: rows, e.g. [flipsketch-*]; bench.variants=FOLDER of trained variants, bench.pairs=6 or "
        "by protocol: 'bench.pairs={drawing:6,edit:5}'.",
        factory=list,
    )
    weights: dict[str, str] = setting("Weights of a metric that do not come with the package.", factory=dict)
    least: dict[str, int] = setting("The smallest number of clips for which a metric is computed.", factory=dict)
    gpu: Any = setting("One of auto, cpu, mps, or <N>gb for a card of that size; switches are gpu.KEY=VALUE.", None)
    online: bool = setting("Whether missing weights may be downloaded.", False)
    cache: bool = setting("Whether finished stages are taken from the cache; times then leave them out.", False)
    runner: str = setting(
        "How cells are run: one after another, side by side, or as jobs of a cluster.",
        "serial",
        choices={"serial": "one after another", "joblib": "side by side", "submitit": "as jobs of a cluster"},
    )
    shard: str | None = setting(
        "One part of the cells, such as 2/8, where machines share no disk: every start of the same command with "
        "another part makes other cells, and `motionkit bench merge` puts the folders together.",
        None,
    )
    workers: int = setting("How many cells, or with submitit jobs, run at a time.", 2, low=1, high=float("inf"))
    threads: int | None = setting("Threads of each of them; null leaves it to the libraries.", None)
    cluster: Cluster = field(default_factory=Cluster)
    output: str | None = setting(
        "Folder of results/results.html, .md, .json and .png, and cells/; null is runs/bench/NAME. Where cases, "
        "settings or metrics were changed, results-HASH/ is written in place of results/; bench=ablations writes "
        "ledger/ledger.md and .json, of some of the rows ledger-HASH/. The page's path is printed; with shard=, which "
        "writes no page, the folder's.",
        None,
    )


HELP = f"""usage: motionkit bench [bench=sprites] [methods=[NAME,NAME,...]] [key=value ...]
       motionkit bench merge FOLDER FOLDER ... output=FOLDER

what
{told(BenchConfig, "bench=NAME methods=[NAME,NAME] backbones=[NAME,NAME] backbone.path=FOLDER")}
{told(BenchConfig, "settings.NAME.KEY=VALUE ablations=[NAME,NAME] weights.NAME=FILE least.NAME=N")}
how
{told(BenchConfig, "runner=serial workers=2 threads=1 shard=2/8 gpu=NAME online=false cache=false")}
  cluster.KEY=VALUE       For submitit: cluster.kind=slurm or local; cluster.partition= minutes= gpus= memory_gb= cells=
                          (per job); with gpus=, start it on a node with such a GPU, since the memory plan is made
                          there.
output
{told(BenchConfig, "output=FOLDER")}

Each cell (method, backbone, case, seed) runs in a process of its own and is kept under the hash of its configuration:
a second start resumes, and starts that run at the same time in one folder share the cells. A cell that fails is
reported, tried again on the next start, and makes the exit code 1.

`merge` copies the cells of several folders into output= and writes their tables from there; it needs no weights of
methods. A cell that two folders have with another content is told, kept from the first, and makes the exit code 1. The
ledger of bench=ablations is written by one more start of that command with the merged folder as output=.
"""


_OPEN = ("settings.", "weights.", "least.", "cluster.extra.")  # tables whose keys are checked elsewhere


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code: 1 when a cell failed."""
    from motionkit.cli import hydra_app

    if argv[:1] == ["merge"]:
        return _merge(argv[1:])
    for word in argv:
        if word.startswith(("method=", "method.", "backbone=")):
            key = word.partition("=")[0].partition(".")[0]
            raise UserError(f"{word}: bench takes {key}s=[NAME,NAME], and settings.NAME.KEY=VALUE for a method")
    words = [f"++{word}" if word.startswith(_OPEN) else word for word in argv]
    config = hydra_app.compose("bench", BenchConfig, words)
    refuse_empty(config, ("output",))
    start = hydra_app.JobFolders(Path.cwd(), Path.cwd())
    from motionkit.table.bench.protocol import LEDGER

    if not isinstance(config.bench["name"], str):
        raise UserError(f"bench.name={config.bench['name']}: give a protocol's name by bench=NAME")
    if config.bench["name"] == LEDGER:
        for word in argv:
            if word.lstrip("+").startswith(("methods=", "backbones=", "backbone.", "settings.")):
                raise UserError(
                    f"{word}: the rows of bench=ablations set it themselves: choose rows by ablations=[NAME]"
                )
        return _ablations(config, start)
    if config.ablations:
        raise UserError("ablations=[...] are rows of bench=ablations: add bench=ablations, or leave them out")
    named = any(word.lstrip("+").startswith("methods=") for word in argv)
    return _table(config, start, named)


def _table(config: BenchConfig, start: JobFolders, named: bool) -> int:
    """One protocol: run, write, say where; `named` is whether the methods were, or the protocol's rows take part."""
    from motionkit.cli.words import choice_of
    from motionkit.table.bench import protocol as protocols
    from motionkit.table.bench.entry import entries_of
    from motionkit.table.bench.rows import entries_of_rows

    asked = {str(key): value for key, value in config.bench.items()}
    if asked.get("variants") is not None:
        asked["variants"] = str(_variants(asked["variants"], start))
    chosen = protocols.read(**asked)
    who = (config.backbones, config.settings, choice_of(config.backbone, start))
    entries = entries_of_rows(chosen, *who) if chosen.rows and not named else entries_of(config.methods, *who)
    shard = _shard(config)
    folder = _folder(config, start)
    runner = _runner(config, folder)

    from motionkit.table.bench import engine
    from motionkit.table.bench.page import write_results

    options = _options(config, start)
    outcome = engine.run(chosen, entries, folder, options, runner, _say, may_be_empty=False, shard=shard)
    print(write_results(folder, outcome) if shard.whole else folder)
    return 1 if outcome.failed else 0


def _merge(argv: list[str]) -> int:
    """Folders of shards into one, and its tables."""
    from motionkit.media.output_files import local_path
    from motionkit.table.bench.merge import merge
    from motionkit.table.bench.page import write_results

    outputs = [word.removeprefix("output=") for word in argv if word.startswith("output=")]
    folders = [local_path(word) for word in argv if not word.startswith("output=")]
    if len(outputs) != 1 or not outputs[0].strip() or not folders:
        raise UserError("bench merge takes the folders of the shards and one output=FOLDER")
    target = local_path(outputs[0])
    made = merge(folders, target, _say)
    for outcome in made.outcomes:
        print(write_results(target, outcome))
    return 1 if made.failed else 0


def _shard(config: BenchConfig) -> Shard:
    from motionkit.table.bench.shards import Shard

    return Shard() if config.shard is None else Shard.read(config.shard)


def _ablations(config: BenchConfig, start: JobFolders) -> int:
    """The papers' ablation rows, each on its protocol."""
    from motionkit.table.bench import ablations, ledger
    from motionkit.table.bench.ledger_page import write_ledger

    rows = ablations.choose(config.ablations)
    folder = _folder(config, start)
    changed: Mapping[str, Any] = {
        name: config.bench[name] for name in ("pairs", "seeds") if config.bench.get(name) is not None
    }
    variants, shard = _variants(config.bench.get("variants"), start), _shard(config)
    how = (_options(config, start), _runner(config, folder), _say)
    done = ledger.run_ledger(rows, folder, *how, variants=variants, shard=shard, **changed)
    print(write_ledger(folder, done) if shard.whole else folder)
    return 1 if done.failed else 0


def _variants(given: Any, start: JobFolders) -> Path | None:
    if given is None:
        return None
    folder = start.resolve(str(given))
    if not folder.is_dir():
        raise UserError(
            f"bench.variants={given}: no such folder; it should hold a folder per trained variant, and `full`"
        )
    return folder


def _options(config: BenchConfig, start: JobFolders) -> Options:
    from motionkit.table.bench.entry import Options

    weights = {name: str(start.resolve_if_there(path)) for name, path in config.weights.items()}
    online = config.online or bool(config.backbone["online"])
    return Options(config.gpu, online, config.cache, weights, dict(config.least))


def _runner(config: BenchConfig, folder: Path) -> Runner:
    if config.runner == "submitit" and config.cluster.gpus:
        from motionkit.running.request import plan_for

        if plan_for(config.gpu).device == "cpu":
            raise UserError(
                f"cluster.gpus={config.cluster.gpus}, but the memory plan is made where the benchmark is started, "
                "and here it is for the CPU: start it on a node with such a GPU"
            )
    return make_runner(config.runner, folder, config.workers, config.threads, Cluster(**vars(config.cluster)))


def _folder(config: BenchConfig, start: JobFolders) -> Path:
    """The folder of the cells: one folder for all sub-runs of a protocol, which share cells."""
    if config.output is None:
        return start.cwd / "runs" / "bench" / str(config.bench["name"])
    folder = start.resolve(config.output)
    if folder.suffix.lower() in (".md", ".html", ".json"):
        raise UserError(f"output={config.output}: bench writes a folder; give a name without {folder.suffix}")
    return folder


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
