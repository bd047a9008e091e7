"""A blind study: people see two results without their names and say which is better; preference rates come of it."""

from __future__ import annotations

import csv
import itertools
import json
import math
import random
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from motionkit.errors import UserError
from motionkit.media.output_files import staged, write_json
from motionkit.report.page import document
from motionkit.report.text import data
from motionkit.running.stage_runner import RESULT
from motionkit.table.compare.index import JOBS
from motionkit.table.compare.outcome import INPUTS
from motionkit.table.store import CELLS, CellFolder

QUESTIONS = {"motion": "Which one follows the motion better?", "character": "Which one keeps the character better?"}
COLUMNS = ("study", "pair", "question", "choice", "voter")
KEY, VOTES, PAGE = "key.json", "votes.csv", "index.html"
SIDES = ("a", "b")
_Z = 1.959963984540054  # of 95%
_adding = threading.Lock()  # voters of one server write the same file


@dataclass(frozen=True)
class Case:
    """One comparison: its inputs as files, and method -> video."""

    name: str
    inputs: Mapping[str, Path]
    videos: Mapping[str, Path]


@dataclass(frozen=True)
class Pair:
    """Two methods on one case; which is `a` is drawn, and `id` says nothing of them."""

    id: str
    case: str
    a: str
    b: str


class Rate(NamedTuple):
    """How often a method was preferred: a share with its 95% Wilson interval, of `n` votes on pairs that hold it."""

    question: str
    method: str
    rate: float
    low: float
    high: float
    n: int


def cases(folders: Iterable[Path]) -> list[Case]:
    """What comparisons left, each as a case; a folder of jobs is as many cases as it has jobs.

    Raises:
        UserError: a folder is no comparison, or has fewer than two results.
    """
    places: list[Path] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        jobs = sorted(path for path in (folder / JOBS).glob("*") if (path / CELLS).is_dir())
        places += jobs or [folder]
    if not places:
        raise UserError("a study needs a comparison: give runs=FOLDER of `motionkit compare`")
    found = []
    for place, name in zip(places, _names(places), strict=True):
        videos = _videos(place)
        if len(videos) < 2:
            raise UserError(f"{place} holds {len(videos)} results: give the folder of a comparison of two or more")
        inputs = {path.stem: path for path in sorted((place / INPUTS).glob("*"))}
        found.append(Case(name, inputs, videos))
    return found


def _names(places: Sequence[Path]) -> list[str]:
    """As many of the last parts of each path, two or more, as no two have in common."""
    longest = max(len(place.parts) for place in places)
    for parts in range(2, longest + 1):
        names = ["/".join(place.parts[-parts:]) for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in dict.fromkeys(places)]


def _videos(folder: Path) -> dict[str, Path]:
    """Method -> its video; of several cells of one method the newest."""
    cells = [path.parent for path in (folder / CELLS).glob(f"*/{RESULT}")]
    complete = [cell for cell in cells if CellFolder(cell).manifest().get("status") == "complete"]
    ordered = sorted(complete, key=lambda cell: (cell / RESULT).stat().st_mtime)
    return {str(CellFolder(cell).manifest()["method"]["name"]): cell / RESULT for cell in ordered}


def pairs(every: Sequence[Case], seed: int | None = None) -> list[Pair]:
    """Each two methods of each case, in an order and with sides that are drawn."""
    draw = random.Random(seed if seed is not None else secrets.randbits(64))
    found = []
    for case in every:
        for both in itertools.combinations(sorted(case.videos), 2):
            a, b = draw.sample(both, 2)
            found.append(Pair(f"{draw.getrandbits(48):012x}", case.name, a, b))
    draw.shuffle(found)
    return found


def write_page(folder: Path, every: Sequence[Case], chosen: Sequence[Pair]) -> Path:
    """A page that opens from disk or from any web server, with everything in it, and beside it the key.

    The page names no method; votes are kept in the voter's browser and saved as a CSV file that is sent back by hand.

    Raises:
        UserError: the folder cannot be written.
    """
    named = {case.name: case for case in every}
    study = secrets.token_hex(6)
    shown = [
        {"id": pair.id, "inputs": _embedded(named[pair.case].inputs)}
        | {side: data("video/mp4", named[pair.case].videos[getattr(pair, side)].read_bytes()) for side in SIDES}
        for pair in chosen
    ]
    facts = json.dumps({"study": study, "questions": QUESTIONS, "columns": COLUMNS, "pairs": shown})
    read = resources.files("motionkit.report").joinpath
    body = (
        f"<style>{read('study.css').read_text('utf-8')}</style>"
        f'<main id="study" data-facts="{escape(facts, quote=True)}"></main>'
    )
    folder.mkdir(parents=True, exist_ok=True)
    with staged(folder / PAGE) as part:
        text = document("Which one is better?", body, script=read("study.js").read_text("utf-8"))
        part.write_text(text, encoding="utf-8")
    write_key(folder / KEY, study, chosen)
    return folder / PAGE


def _embedded(inputs: Mapping[str, Path]) -> dict[str, str]:
    kinds = {".mp4": "video/mp4", ".png": "image/png"}
    return {name: data(kinds[path.suffix], path.read_bytes()) for name, path in inputs.items() if path.suffix in kinds}


def write_key(path: Path, study: str, chosen: Sequence[Pair]) -> None:
    """Which method stands behind each side of each pair."""
    write_json(path, {"study": study, "pairs": [asdict(pair) for pair in chosen]})


def read_key(path: Path) -> tuple[str, dict[str, Pair]]:
    """The study and its pairs by id. Raises: UserError for another file."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return str(facts["study"]), {pair["id"]: Pair(**pair) for pair in facts["pairs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the key of a study: give the {KEY} that was written beside its page") from error


def read_votes(paths: Iterable[Path], study: str) -> list[dict[str, str]]:
    """The votes of a study in CSV files; of two by one voter on one question the last counts.

    Raises:
        UserError: a file that is none, or of another study.
    """
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for path in paths:
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} cannot be read as votes: give the CSV file that the page saved") from error
        for row in rows:
            if any(row.get(column) is None for column in COLUMNS):
                raise UserError(f"{path} lacks a column of {', '.join(COLUMNS)}: give the CSV file that the page saved")
            if row["study"] != study:
                raise UserError(f"{path} holds votes of another study ({row['study'][:20]}, not {study})")
            found[row["voter"], row["pair"], row["question"]] = row
    return list(found.values())


def rates(votes: Iterable[Mapping[str, str]], key: Mapping[str, Pair]) -> list[Rate]:
    """How often each method was preferred, for each question; a vote for "same" is half a vote for both.

    Raises:
        UserError: a vote on a pair, or for a side, that the study does not have.
    """
    points: dict[tuple[str, str], list[float]] = {}
    for vote in votes:
        pair, choice = key.get(vote["pair"]), vote["choice"]
        if pair is None or choice not in (*SIDES, "same") or vote["question"] not in QUESTIONS:
            raise UserError(f"a vote for {choice!r} on the pair {vote['pair'][:20]!r} is none of this study")
        for side in SIDES:
            worth = 0.5 if choice == "same" else float(choice == side)
            points.setdefault((vote["question"], getattr(pair, side)), []).append(worth)
    found = [
        Rate(question, method, *wilson(sum(worth), len(worth)), len(worth))
        for (question, method), worth in points.items()
    ]
    return sorted(found, key=lambda rate: (list(QUESTIONS).index(rate.question), -rate.rate, rate.method))


def wilson(points: float, n: int, z: float = _Z) -> tuple[float, float, float]:
    """A share with its Wilson interval (Wilson 1927), which stays within [0, 1] and holds for few votes too.

    >>> [round(x, 3) for x in wilson(5, 10)]
    [0.5, 0.237, 0.763]
    """
    share, z2 = points / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return share, max(0.0, middle - half), min(1.0, middle + half)


def add_vote(path: Path, vote: Mapping[str, Any]) -> None:
    """Write a vote at the end of a CSV file, which begins with the names of its columns."""
    with _adding, open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        if not file.tell():
            writer.writeheader()
        writer.writerow(vote)
