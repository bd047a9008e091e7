"""The script that makes all figures anew: it resumes, begins again with other weights, and its commands exist."""

import importlib.util
from pathlib import Path

import pytest

from motionkit.weights import places

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def figures(script):
    return script("figures")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of weights in place of the shipped ones."""
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "some.safetensors").write_text("one")
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(folder))
    return folder


def _step(figures, tmp_path, *words, kept=None):
    place = ((figures.STDOUT, "{into}/{name}.txt"),) if kept is None else kept
    program = tmp_path / "program.py"
    program.write_text("import sys, pathlib\npathlib.Path(sys.argv[1], 'left').touch()\nprint(*sys.argv[2:])\n")
    return figures.Step("small", (str(program), "{folder}", *words), 0.1, place)


def test_a_step_is_made_once_and_again_with_other_weights(figures, weights, tmp_path):
    step, into, runs = _step(figures, tmp_path, "hello"), tmp_path / "into", tmp_path / "runs"
    assert not figures.is_made(step, runs)
    figures.make(step, into, runs)
    assert (into / "small.txt").read_text() == "hello\n" and figures.is_made(step, runs)
    assert not figures.is_made(_step(figures, tmp_path, "bye"), runs)  # another command
    (weights / places.VERSION).write_text("2")
    assert figures.is_made(step, runs)  # the same weights under another name
    (weights / "some.safetensors").write_text("two")
    assert not figures.is_made(step, runs)
    (runs / "small" / "old").touch()
    (runs / "small" / "cells").mkdir()  # a benchmark's: each knows its own weights
    figures.make(step, into, runs)
    assert figures.is_made(step, runs) and not (runs / "small" / "old").exists()
    assert (runs / "small" / "cells").is_dir()


def test_a_stopped_step_goes_on_in_its_folder(figures, weights, tmp_path):
    step, runs = _step(figures, tmp_path, kept=(("none", "{into}/x"),)), tmp_path / "runs"
    with pytest.raises(SystemExit, match="left 0 files none"):
        figures.make(step, tmp_path / "into", runs)
    (runs / "small" / "cell").touch()
    with pytest.raises(SystemExit, match="left 0 files none"):
        figures.make(step, tmp_path / "into", runs)
    assert (runs / "small" / "cell").exists() and not figures.is_made(step, runs)


def test_a_command_that_fails_is_said(figures, weights, tmp_path):
    (tmp_path / "wrong.py").write_text("raise SystemExit(3)")
    step = figures.Step("wrong", (str(tmp_path / "wrong.py"),), 0.1)
    with pytest.raises(SystemExit, match="wrong ended with status 3"):
        figures.make(step, tmp_path, tmp_path / "runs")
    assert not figures.is_made(step, tmp_path / "runs")


def test_every_command_exists(figures):
    names = [step.name for step in figures.STEPS]
    assert len(names) == len(set(names))
    for step in figures.STEPS:
        first, *rest = step.words
        if first == "bench":
            protocol = next(word for word in rest if word.startswith("bench=")).removeprefix("bench=")
            assert (CONF / "bench" / f"{protocol}.yaml").is_file()
        elif first.endswith(".py"):
            assert (figures.ROOT / first).is_file()
        else:
            assert importlib.util.find_spec(first)


def test_an_unknown_step_is_refused(figures):
    with pytest.raises(SystemExit, match="no step nothing; there are demo"):
        figures.main(["--only", "nothing"])


def test_what_writes_into_the_checkout_is_left_out_elsewhere(figures, tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(figures, "make", lambda step, into: made.append(step.name))
    monkeypatch.setattr(figures, "is_made", lambda step: False)
    figures.main(["--into", str(tmp_path), "--only", "pictures", "captions"])
    assert made == ["captions"] and "left out: pictures" in capsys.readouterr().out
    figures.main(["--only", "pictures"])
    assert made == ["captions", "pictures"]
