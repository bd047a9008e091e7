"""Hundreds of mistyped command lines: one line says what to give, nothing under a final name, never a traceback."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from motionkit.cli import main

BEGINNINGS = {
    "T": "transfer method=warp reference=me.png driving=moves.mp4 gpu=cpu progress=none output=out.mp4",
    "S": "transfer method=still reference=me.png gpu=cpu progress=none output=out.mp4",
    "A": "transfer method=anamodiff backbone=tiny-sd reference=me.png driving=moves.mp4 prompt=horse gpu=cpu "
    "progress=none output=out.mp4",
    "F": "transfer method=flipsketch backbone=tiny-modelscope reference=me.png prompt=horse gpu=cpu progress=none "
    "output=out.mp4",
    "V": "transfer method=vidmp3 backbone=tiny-animatediff-sd15 driving=moves.mp4 prompt=horse source_prompt=dog "
    "gpu=cpu progress=none output=out.mp4",
    "X": "transfer method=animatex backbone=tiny-animatex reference=me.png driving=moves.mp4 gpu=cpu progress=none "
    "output=out.mp4",
    "C": "compare methods=[still,warp] reference=me.png driving=moves.mp4 gpu=cpu progress=none output=out",
    "L": "train method=flipsketch data=sprites gpu=cpu progress=none output=out",
    "B": "bench methods=[still] bench.pairs=1 bench.frames=2 bench.size=64 gpu=cpu output=out",
}
QUICK = ("verbs", "flags", "fits", "lists", "sprites", "other verbs")  # that compose no configuration
LONGEST = 700


def read_lines():
    """Kind -> its lines."""
    kinds = {}
    for line in Path(__file__).with_name("wrong_lines.txt").read_text(encoding="utf-8").splitlines():
        if kind := re.fullmatch(r"\[([a-z A-Z]+)\]", line):
            lines = kinds[kind[1]] = []
        elif line and not line.startswith("#"):
            lines.append(line.replace("␀", "\0"))
    return kinds


LINES = read_lines()


@pytest.fixture
def full(here):
    """The working folder with a file of every wrong kind."""
    import torch
    from safetensors.torch import save_file

    (here / "notes.txt").write_text("remember the milk\n")
    (here / "empty.png").write_bytes(b"")
    (here / "page.png").write_text("<!DOCTYPE html><html></html>")
    (here / "cut.mp4").write_bytes((here / "moves.mp4").read_bytes()[:200])
    (here / "clips").mkdir()
    (here / "clips" / "a.txt").write_text("a")
    (here / "empty").mkdir()
    (here / "list.csv").write_text("a,b\n1\n")
    (here / "list.json").write_text("[1, 2]")
    save_file({"x": torch.zeros(2)}, here / "weights.safetensors")
    return here


def words_of(line):
    """(all words, those that spoil it) of a line; a word of it replaces the beginning's word of the same key."""
    first, *spoilt = shlex.split(line)
    if first not in BEGINNINGS:
        return [first, *spoilt], [first, *spoilt]
    verb, *good = BEGINNINGS[first].split()
    given = {word.partition("=")[0].lstrip("+~") for word in spoilt if "=" in word}
    return [verb, *(word for word in good if word.partition("=")[0] not in given), *spoilt], spoilt


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def complaints(line, folder, capsys):
    """What is wrong with how a line ended."""
    before, (words, spoilt) = files(folder), words_of(line)
    code = main(words)
    out, err = capsys.readouterr()
    said = [text for text in err.splitlines() if not text.startswith(("gpu=", "driving: frames "))]
    found = [] if code == 2 else [f"exit code {code}"]
    found += ["a defect"] if "Traceback" in err or "internal error" in err else []
    found += ["words on stdout"] if out else []
    if len(said) != 1 or not said[0].startswith("motionkit: error: ") or len(said[0]) > LONGEST:
        found.append("not one short line")
    parts = {part for word in spoilt for part in (word, *word.split("="), *re.split(r"[^\w-]+", word))} - {""}
    found += [] if any(part in err for part in parts) else ["none of its words"]
    made = {path for path, time in files(folder).items() if before.get(path) != time}
    kept = {path for path in made if path.parts[0] == "cache" or is_of_a_failed_run(folder / path)}
    found += [f"{path} was made" for path in made - kept] + [
        f"{path} is gone" for path in before.keys() - files(folder)
    ]
    shutil.rmtree(folder / "runs", ignore_errors=True)
    return [f"{line}: {', '.join(found)}: {err[:300]}"] if found else []


def is_of_a_failed_run(path):
    return path.name == "manifest.json" and json.loads(path.read_text())["status"] == "failed"


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in QUICK else pytest.mark.slow) for kind in LINES]
)
def test_every_line_is_told_in_one(kind, full, capsys):
    lines = LINES[kind]
    wrong = [found for line in lines for found in complaints(line, full, capsys)]
    if kind not in QUICK:
        with capsys.disabled():
            print(f"\n{len(lines)} wrong command lines of the kind '{kind}', of {sum(map(len, LINES.values()))} in all")
    assert not wrong, "\n".join(wrong)


def test_there_are_hundreds_and_each_stands_once():
    every = [line for lines in LINES.values() for line in lines]
    assert len(every) >= 400 and len(set(every)) == len(every)
