"""Makes every figure, table and picture that depends on the small weights anew: `python benchmarks/figures.py`.

One step after another, fourteen core-hours by a rough guess; each is recorded with the hash of the weights: the same
command continues where it stopped, and begins again when the weights are others. With MOTIONKIT_ASSETS and `--into
FOLDER` a set of weights is judged before it is shipped; what writes into the checkout itself is left out then.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motionkit.errors import in_one_line
from motionkit.weights import places
from motionkit.weights.hashing import hash_json, hash_path

ROOT = Path(__file__).resolve().parents[1]
RUNS = Path("runs/figures")
STDOUT = "stdout.txt"  # what a step prints, beside its outputs
_CPU = ("gpu=cpu", "gpu.dtype=bfloat16", "threads=1")
_PAGE = (("results*/results.md", "{into}/tables/{name}.md"), ("results*/results.json", "{into}/tables/{name}.json"))


@dataclass(frozen=True)
class Step:
    """One command, and where its files go.

    Attributes:
        words: of the command: a motionkit verb, or a module or script with its arguments; {folder} is the step's own.
        hours: core-hours, a rough guess from the processor seconds of single clips.
        kept: pairs of a pattern in the step's folder and a place; none for what writes to its places itself.
    """

    name: str
    words: tuple[str, ...]
    hours: float
    kept: tuple[tuple[str, str], ...] = ()

    def command(self, folder: Path) -> list[str]:
        """What is run."""
        first, *rest = (word.format(folder=folder) for word in self.words)
        if first.endswith(".py"):
            return [sys.executable, str(ROOT / first), *rest]
        module = ["motionkit", first] if "." not in first else [first]
        return [sys.executable, "-m", *module, *rest]


def _bench(name: str, hours: float, *words: str, kept: tuple[tuple[str, str], ...] = _PAGE) -> Step:
    return Step(name, ("bench", *(words or (f"bench={name}",)), *_CPU, "output={folder}"), hours, kept)


_HEAD = "{into}/head_to_head/"
_RECIPES = "motionkit.training.recipes"
STEPS = (
    Step("demo", ("motionkit.cli.demo",), 0.1),
    Step("pictures", ("benchmarks/make_pictures.py",), 0.1),
    Step("moving-pictures", ("benchmarks/make_moving_pictures.py",), 0.3),
    Step(
        "pocket-sd",
        (f"{_RECIPES}.sample_figures", "--sheet", "{folder}/sheet.png"),
        0.2,
        ((STDOUT, "{into}/pocket/quality_pocket_sd.json"), ("sheet.png", "{into}/pocket/sheets/pocket-sd.png")),
    ),
    Step("pocket-maps", (f"{_RECIPES}.pocket_maps_figures",), 0.1, ((STDOUT, "{into}/pocket_maps.txt"),)),
    _bench("captions", 0.5),
    _bench("captions-drawing", 0.1),
    _bench("captions-16", 0.5),
    _bench(
        "sprites",
        1.7,
        kept=tuple((f"results*/results.{end}", f"{_HEAD}results.{end}") for end in ("md", "json", "png")),
    ),
    _bench(
        "matrix",
        0.3,
        "bench=sprites",
        "backbones=[pocket-*]",
        "bench.pairs=1",
        kept=(("results*/results.png", f"{_HEAD}matrix.png"),),
    ),
    _bench("animatex-self", 0.15),
    _bench("animatex-cross", 0.15),
    _bench("anamodiff", 1.3),
    _bench("flipsketch", 1.4),
    _bench("vidmp3", 1.2),
    Step(
        "ablations",
        (
            "bench",
            "bench=ablations",
            *_CPU,
            "bench.variants=runs/pocket/animatex-ablations",
            "bench.pairs={{drawing:8,sprites:8,transfer-still:8,pose-cross:12,pose-cross-64:16,pose-self-64:16}}",
            "output={folder}",
        ),
        6,
        (("ledger*/ledger.md", f"{_HEAD}ledger.md"), ("ledger*/ledger.json", f"{_HEAD}ledger.json")),
    ),
)


def known_as(step: Step) -> str:
    """The hash of what a step's outputs depend on: the weights and the command."""
    return hash_json({"weights": _weights(), "command": step.words})


def _weights() -> str:
    files = [path for path in sorted(places.assets().rglob("*")) if path.suffix in (".safetensors", ".pt")]
    return hash_json({path.relative_to(places.assets()).as_posix(): hash_path(path) for path in files})


def is_made(step: Step, runs: Path = RUNS) -> bool:
    """Whether it was made with these weights."""
    return _is_of(runs / step.name / "made.json", known_as(step))


def _is_of(file: Path, known: str) -> bool:
    try:
        return bool(json.loads(file.read_text())["of"] == known)
    except (OSError, ValueError, KeyError, TypeError):  # not there, or cut short
        return False


def make(step: Step, into: Path, runs: Path = RUNS) -> None:
    """Run a step and put its files in their places.

    Raises:
        SystemExit: the command failed, or left no such file.
    """
    folder, of = runs / step.name, known_as(step)
    begun = folder / "begun.json"
    if folder.exists() and not _is_of(begun, of):
        _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    begun.write_text(json.dumps({"of": of}))
    began = time.monotonic()
    with (folder / STDOUT).open("w", encoding="utf-8") as out:
        done = subprocess.run(step.command(folder), stdout=out, check=False)
    if done.returncode:
        raise SystemExit(f"{step.name} ended with status {done.returncode}: see above, and {folder / STDOUT}")
    for pattern, place in step.kept:
        found = sorted(folder.glob(pattern))
        if len(found) != 1:
            raise SystemExit(f"{step.name} left {len(found)} files {pattern} in {folder}, one was expected")
        target = Path(place.format(into=into, name=step.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[0], target)
    facts = {"of": of, "weights": places.weights_version(), "seconds": round(time.monotonic() - began)}
    (folder / "made.json").write_text(json.dumps(facts) + "\n")


def _clear(folder: Path) -> None:
    """Remove what other weights made; a benchmark's cells stay: each is kept under the hash of its own weights."""
    for old in folder.iterdir():
        if old.name != "cells":
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: makes what is not made yet, or lists it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, default=ROOT / "benchmarks", help="folder for tables and pictures")
    parser.add_argument("--only", nargs="+", default=None, help="names of steps", metavar="NAME")
    parser.add_argument("--core", type=int, default=None, help="number of the core to run on")
    parser.add_argument("--list", action="store_true", help="list what is made and what is not")
    args = parser.parse_args(argv)
    known = [step.name for step in STEPS]
    if unknown := sorted(set(args.only or ()) - set(known)):
        raise SystemExit(f"no step {', '.join(unknown)}; there are {', '.join(known)}")
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    here = args.into.resolve() == (ROOT / "benchmarks").resolve()
    for step in STEPS:
        if args.only and step.name not in args.only:
            continue
        if not step.kept and not here:
            print(f"left out: {step.name}, which writes into the checkout, not to {args.into}")
            continue
        made = is_made(step)
        if args.list:
            print(f"{'made' if made else 'to do':6} {step.name:18} {step.hours:5g} h")
        elif not made:
            print(f"{time.strftime('%H:%M:%S')} {step.name}, about {step.hours:g} core-hours", flush=True)
            make(step, args.into)


if __name__ == "__main__":
    in_one_line(main)
