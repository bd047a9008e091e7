"""A blind study: the page names nobody, the key does, and votes that come back are counted with intervals."""

import csv
import json
import re
import shutil
import threading

import pytest

from motionkit import media
from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.table import study
from motionkit.testing import moving_shapes

METHODS = ("alpha", "beta", "gamma")


@pytest.fixture
def compared(tmp_path):
    """A folder as a comparison of three methods leaves it."""
    for name in METHODS:
        cell = tmp_path / "made" / "cells" / f"{name}-0123"
        cell.mkdir(parents=True)
        media.write_video(cell / "result.mp4", moving_shapes(3, 32, 32).frames, 8.0)
        (cell / "manifest.json").write_text(json.dumps({"status": "complete", "method": {"name": name}}))
    inputs = tmp_path / "made" / "inputs"
    inputs.mkdir()
    media.write_video(inputs / "driving.mp4", moving_shapes(3, 32, 32).frames, 8.0)
    media.write_image(inputs / "reference.png", moving_shapes(1, 32, 32).frames[0])
    return tmp_path / "made"


def written(compared, *words):
    out = compared.parent / "study"
    assert main(["study", f"runs={compared}", f"output={out}", *words]) == 0
    return out


def test_the_page_names_no_method_and_sends_nothing(compared, capsys):
    out = written(compared)
    text = (out / "index.html").read_text()
    assert not [name for name in METHODS if name in text]
    assert "default-src 'none'" in text and "connect-src" not in text and not re.search(r'(src|href)="http', text)
    name, key = study.read_key(out / "key.json")
    assert {frozenset((p.a, p.b)) for p in key.values()} == {
        frozenset(p) for p in (METHODS[:2], METHODS[1:], METHODS[::2])
    }
    assert all(pair in text for pair in key) and name in text
    assert capsys.readouterr().out.strip().endswith("index.html")


def test_a_seed_draws_the_same_order_and_sides(compared):
    every = study.cases([compared])
    assert study.pairs(every, 1) == study.pairs(every, 1) != study.pairs(every, 2)


def test_votes_that_come_back_are_counted(compared, capsys):
    out = written(compared, "seed=3")
    name, key = study.read_key(out / "key.json")
    with (out / "votes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, study.COLUMNS)
        writer.writeheader()
        for voter in "xyz":
            for pair in key.values():
                said = "same" if "alpha" not in (pair.a, pair.b) else "a" if pair.a == "alpha" else "b"
                writer.writerow({"study": name, "pair": pair.id, "question": "motion", "choice": said, "voter": voter})
    rates = study.rates(study.read_votes([out / "votes.csv", out / "votes.csv"], name), key)
    assert [(r.method, r.rate, r.n) for r in rates] == [("alpha", 1.0, 6), ("beta", 0.25, 6), ("gamma", 0.25, 6)]
    assert 0.6 < rates[0].low < 0.62 and rates[0].high == 1.0  # Wilson for 6 of 6: 0.6097
    capsys.readouterr()
    assert main(["study", f"key={out / 'key.json'}", f"votes={out / 'votes.csv'}"]) == 0
    assert re.search(r"motion\s+alpha\s+100%", capsys.readouterr().out)


def test_what_is_no_vote_of_the_study_is_refused(compared, tmp_path):
    out = written(compared)
    name, key = study.read_key(out / "key.json")
    vote = {"study": name, "pair": next(iter(key)), "question": "motion", "choice": "a", "voter": "v"}
    for wrong in ({"pair": "x"}, {"choice": "left"}, {"question": "taste"}):
        with pytest.raises(UserError):
            study.rates([vote | wrong], key)
    study.add_vote(tmp_path / "other.csv", vote | {"study": "other"})
    with pytest.raises(UserError, match="another study"):
        study.read_votes([tmp_path / "other.csv"], name)
    (tmp_path / "bare.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="column"):
        study.read_votes([tmp_path / "bare.csv"], name)


def test_comparisons_of_one_name_are_cases_of_their_own(compared, tmp_path):
    """Folders of jobs have the same names of jobs; every pair shows the videos of its own case."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(compared, folder / "jobs" / "walk")
    every = study.cases([*folders, folders[0]])
    assert len(every) == len({case.name for case in every}) == 2
    known = {case.name: case.videos["alpha"] for case in every}
    assert {known[pair.case].relative_to(tmp_path).parts[0] for pair in study.pairs(every)} == {"one", "two"}


def test_many_may_vote_at_once(tmp_path):
    votes = [dict.fromkeys(study.COLUMNS, str(i)) for i in range(40)]
    threads = [threading.Thread(target=study.add_vote, args=(tmp_path / "votes.csv", vote)) for vote in votes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with (tmp_path / "votes.csv").open(newline="") as file:
        assert sorted(csv.DictReader(file), key=lambda vote: int(vote["pair"])) == votes


def test_a_file_without_votes_is_said(compared, capsys):
    out = written(compared)
    (out / "votes.csv").write_text(",".join(study.COLUMNS) + "\n")
    assert main(["study", f"key={out / 'key.json'}", f"votes={out / 'votes.csv'}"]) == 2
    assert "no votes" in capsys.readouterr().err


def test_one_result_makes_no_pair(compared):
    for name in METHODS[1:]:
        (compared / "cells" / f"{name}-0123" / "result.mp4").unlink()
    with pytest.raises(UserError, match="two"):
        study.cases([compared])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "runs="),
        (["runs="], "runs"),
        (["runs=x", "seed=²"], "seed"),
        (["votes=x.csv"], "key=FILE"),
        (["runs=nowhere"], "nowhere"),
    ],
)
def test_the_verb_says_what_it_needs(words, said, capsys):
    assert main(["study", *words]) == 2
    assert said in capsys.readouterr().err
