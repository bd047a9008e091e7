"""`motionkit study`: a blind comparison by people, as a page for any browser, and the rates of their votes."""

from __future__ import annotations

from pathlib import Path

from motionkit.cli.given import given_of
from motionkit.cli.table import table
from motionkit.errors import UserError

HELP = """usage: motionkit study runs=FOLDER[,FOLDER...] [output=FOLDER] [seed=N]
       motionkit study key=FILE votes=FILE.csv[,FILE.csv...]

People see two results at a time, without names, and say which follows the motion better and which keeps the character.

  runs=FOLDER             folders of `motionkit compare` (also with jobs=): each two of their methods are a pair
  output=FOLDER           index.html, one file that opens from disk or on any web server and sends nothing, and
                          key.json, which says what stands behind each side: keep it (default: runs/study)
  seed=N                  the order and the sides are drawn from it (default: anew each time)

  key=FILE votes=FILE     the preference rates of the votes that came back, with 95% Wilson intervals
"""
_KEYS = ("runs", "output", "seed", "key", "votes")


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    given = given_of("study", argv, _KEYS)
    if "key" in given or "votes" in given:
        _count(given)
    elif "runs" in given:
        _write(given)
    else:
        raise UserError("study needs runs=FOLDER of a comparison, or key=FILE and votes=FILE: see --help")
    return 0


def _write(given: dict[str, str]) -> None:
    from motionkit.table import study

    if not given.get("seed", "0").isdecimal():
        raise UserError(f"seed={given['seed']}: give a whole number")
    every = study.cases(Path(name) for name in given["runs"].split(","))
    chosen = study.pairs(every, int(given["seed"]) if "seed" in given else None)
    print(study.write_page(Path(given.get("output", "runs/study")), every, chosen))


def _count(given: dict[str, str]) -> None:
    from motionkit.table import study

    if not ("key" in given and "votes" in given):
        raise UserError("votes are read with both key=FILE (written beside the page) and votes=FILE.csv")
    name, key = study.read_key(Path(given["key"]))
    found = study.rates(study.read_votes(map(Path, given["votes"].split(",")), name), key)
    if not found:
        raise UserError(f"votes={given['votes']}: there are no votes in it")
    rows = [(r.question, r.method, f"{r.rate:.0%}", f"{r.low:.0%} to {r.high:.0%}", str(r.n)) for r in found]
    print(table(("question", "method", "preferred", "95% interval", "votes"), rows))
