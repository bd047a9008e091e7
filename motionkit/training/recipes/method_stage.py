"""A stage that runs a method's own trainer: `motionkit train` on the next set's weights; its file goes into the set.

`python -m motionkit.training.recipes.method_stage --folder runs/pocket/NAME [--take FILE TARGET] -- method=NAME ...`
A word `variant:NAME` begins a further training, whose words come after the common ones; finished ones are not
repeated, stopped ones resume. `{folder}` in a word stands for the stage's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from motionkit.errors import UserError, in_one_line
from motionkit.training.command import write_record
from motionkit.training.recipes.assembled import assemble, goes_on
from motionkit.training.recipes.stage import SET, UNFINISHED
from motionkit.weights import places
from motionkit.weights.model_files import read_json

VARIANT = "variant:"


def variants(words: list[str]) -> dict[str, list[str]]:
    """The words of each training by its name: common ones first; "" is the name of a single one."""
    common: list[str] = []
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith(VARIANT):
            found[word.removeprefix(VARIANT)] = list(common)
        elif found:
            found[next(reversed(found))].append(word)
        else:
            common.append(word)
    return found or {"": common}


def drawn(folder: Path, words: list[str]) -> list[str]:
    """Draw the clips of `motionkit sprites` with those words, once; returns the words that train on them."""
    done = folder / ".done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "motionkit", "sprites", *words, f"output={folder.resolve()}"], check=True)
        done.touch()
    return [f"data={folder.resolve()}/"]


def run(
    folder: Path, chosen: Path, variant: str, words: list[str], take: tuple[str, str] | None
) -> dict[str, Any] | None:
    """Train one variant in the folder, unless its record is there.

    Args:
        take: a file or folder of the training, and its place in the set, to which it is copied.

    Returns:
        The trainer's record, or None when it was stopped.

    Raises:
        UserError: the training failed; its output says why.
    """
    place, record = folder / variant, folder / variant / "record.json"
    if not record.exists():
        environment = os.environ | {"MOTIONKIT_ASSETS": str(assemble(chosen, folder / "assets").resolve())}
        command = [sys.executable, "-m", "motionkit", "train", *words, f"output={place.resolve()}", "progress=none"]
        if _wait(subprocess.Popen(command, env=environment)):
            return None
        if not record.exists():
            raise UserError(f"{' '.join(words)}: the training failed (it left no record): see its output")
    if take:
        _copy(place / take[0], chosen / take[1])
    return read_json(record)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _wait(child: subprocess.Popen[bytes]) -> bool:
    """Wait for the child; a signal to stop is passed on to it. Returns whether it was stopped."""
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        child.send_signal(signal.SIGTERM)

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGTERM, signal.SIGINT)}
    try:
        child.wait()
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    return bool(stopped)


def main() -> None:
    """Command line: runs the unfinished trainings, then writes the stage's record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="checkpoints and curves")
    parser.add_argument("--set", type=Path, default=SET, help="folder of the set of weights")
    parser.add_argument("--take", nargs=2, help="a file or folder of the training, and its place in the set")
    parser.add_argument("--needs", nargs="+", default=[], help="folders of the set that must be there")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    for name in (
        "--second",
        "--workers",
    ):  # options of other stages, unused here: this training keeps to its folder, and clips are cached
        parser.add_argument(name, default=None, help=argparse.SUPPRESS)
    parser.add_argument(
        "--sprites", nargs="+", default=[], help="words of `motionkit sprites`: clips for all trainings"
    )
    parser.add_argument("words", nargs="+", help="of `motionkit train`")
    args = parser.parse_args()
    shipped = [places.PACKAGE] if goes_on(args.set) else []
    if missing := [name for name in args.needs if not any((place / name).exists() for place in (args.set, *shipped))]:
        raise UserError(f"{args.set} holds no {', '.join(missing)}: run `make train-pocket`, which trains it first")
    where = ["gpu=cpu", "gpu.dtype=bfloat16"] if args.device == "cpu" else ["gpu=auto"]
    clips = drawn(args.folder / "clips", args.sprites) if args.sprites else []
    records: dict[str, Any] = {}
    for name, words in variants(args.words).items():
        filled = [word.replace("{folder}", str(args.folder.resolve())) for word in words]
        made = run(args.folder, args.set, name, [*where, *clips, *filled], args.take and tuple(args.take))
        if made is None:
            print(f"{args.folder.name}: stopped in {name or 'its training'}")
            raise SystemExit(UNFINISHED)
        kept = {key: made[key] for key in ("steps", "seconds", "figures") if key in made}
        records[name] = kept | {"words": words}
        print(json.dumps({name: kept}))
    record = records[""] if list(records) == [""] else {"variants": records}
    write_record(args.set / "records" / f"{args.folder.name}.json", record)


if __name__ == "__main__":
    in_one_line(main)
